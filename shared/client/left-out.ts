/** As `T`, whose optional members may also be undefined: that is to leave them out, as JSON does. */
export type OrLeftOut<T> = {
  [Name in keyof T]: object extends Pick<T, Name> ? T[Name] | undefined : T[Name];
};
