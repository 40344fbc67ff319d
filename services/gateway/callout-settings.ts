import { type Setting, commonSettings, processSettings, text } from '#shared/runtime/config.ts';
import { identitySettings } from './identity-settings.ts';

const seed = (setting: {
  readonly env: string;
  readonly about: string;
  readonly begins: string;
}): Setting<string> => ({
  env: setting.env,
  about: setting.about,
  secret: true,
  parse: (given) =>
    new RegExp(`^${setting.begins}[A-Z2-7]{50,60}$`).test(given)
      ? { value: given }
      : { expected: `the seed of an nkey (${setting.begins}…)` },
});

/** What the auth callout is told; names and passwords of the users are those of the server's configuration. */
export const calloutSettings = {
  ...commonSettings,
  ...processSettings('auth-callout'),
  calloutUser: text({
    env: 'TRIVET_CALLOUT_USER',
    default: 'trivet-callout',
    about: 'the user in the account AUTH that nats-server asks',
  }),
  calloutPassword: text<string | undefined>({
    env: 'TRIVET_CALLOUT_PASSWORD',
    default: undefined,
    about: 'its password; the services’ own when absent',
    secret: true,
  }),
  systemUser: text({
    env: 'TRIVET_SYSTEM_USER',
    default: 'trivet-system',
    about: 'the user in the system account; ends connections whose token was revoked',
  }),
  systemPassword: text<string | undefined>({
    env: 'TRIVET_SYSTEM_PASSWORD',
    default: undefined,
    about: 'its password; the services’ own when absent',
    secret: true,
  }),
  issuerSeed: seed({
    env: 'TRIVET_CALLOUT_ISSUER',
    about:
      'seed of the key that signs permissions (SA…); its public key is `issuer` in the server’s configuration',
    begins: 'SA',
  }),
  xkeySeed: seed({
    env: 'TRIVET_CALLOUT_XKEY',
    about: 'seed of the key that questions are encrypted to (SX…); its public key is `xkey` there',
    begins: 'SX',
  }),
  natsLogFile: text<string | undefined>({
    env: 'TRIVET_NATS_LOG_FILE',
    default: undefined,
    about: 'the log file of nats-server: permission violations in it go into the audit',
  }),
  token: text<string | undefined>({
    env: 'TRIVET_TOKEN',
    default: undefined,
    about: 'the local admin token; without it there is no local admin on NATS',
    secret: true,
  }),
  ...identitySettings,
} as const;
