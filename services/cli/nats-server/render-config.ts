const ownPrefix = 'trivet';

/** How nats.conf is to be used. */
export interface ConfigUse {
  /** First token of every subject. */
  readonly prefix: string;
  /** Everybody needs a token: the auth callout in the place of the user `local`. */
  readonly requireTokens: boolean;
}

const anonymous = 'no_auth_user: local\n';

// Not in the account of the services: what a stranger sends must not be near the streams before it is judged.
const callout = `authorization {
  # The callout reads a bucket and may ask an issuer for its keys.
  timeout: 5
  auth_callout {
    issuer: $TRIVET_NATS_ISSUER
    xkey: $TRIVET_NATS_XKEY
    account: AUTH
    auth_users: ["trivet-callout", "trivet-service", "trivet-system"]
  }
}

# Permission violations are in no advisory: the callout reads them here, for the audit.
log_file: $TRIVET_NATS_LOG
logfile_size_limit: 16MB
logfile_max_num: 3
`;

/**
 * nats.conf for another subject prefix, or for a cluster where everybody needs a token.
 * Only quoted subjects begin with the prefix and a dot; user names and comments stay as they are.
 */
export function renderConfig(config: string, { prefix, requireTokens }: ConfigUse): string {
  const closed = requireTokens ? config.replace(anonymous, callout) : config;
  if (requireTokens && closed === config) throw new Error(`nats.conf has no line "${anonymous.trim()}"`);
  return prefix === ownPrefix ? closed : closed.replaceAll(`"${ownPrefix}.`, `"${prefix}.`);
}
