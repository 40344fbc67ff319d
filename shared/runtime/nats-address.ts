/** Addresses of NATS, separated by commas, as they may be shown. */
export const withoutCredentials = (url: string): string => url.replaceAll(/\/\/[^@/,]*@/g, '//');
