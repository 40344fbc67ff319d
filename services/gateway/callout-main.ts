import { systemClock } from '#shared/runtime/clock.ts';
import { connectAs } from '#shared/runtime/service-login.ts';
import { runService } from '#shared/runtime/service-process.ts';
import { announceService } from '#shared/runtime/service-protocol.ts';
import { version } from '#shared/runtime/version.ts';
import { calloutService } from './callout-service.ts';
import { calloutSettings } from './callout-settings.ts';
import { openIdentity } from './identity.ts';

const service = 'trivet-auth-callout';

runService({
  service,
  version,
  settings: calloutSettings,
  build: async ({ config, nats, log }) => {
    const connect = (user: string, password: string | undefined, variables: string) =>
      connectAs(
        { url: config.natsUrl, user, password: password ?? config.natsPassword, name: config.name, log },
        variables,
      );
    const auth = await connect(
      config.calloutUser,
      config.calloutPassword,
      'TRIVET_CALLOUT_USER and TRIVET_CALLOUT_PASSWORD',
    );
    const system = await connect(
      config.systemUser,
      config.systemPassword,
      'TRIVET_SYSTEM_USER and TRIVET_SYSTEM_PASSWORD',
    );
    const identity = await openIdentity({ config, localToken: config.token, nats, clock: systemClock, log });
    const callout = calloutService({
      identity,
      prefix: config.prefix,
      clock: systemClock,
      log,
      nats,
      auth,
      system,
      keys: { issuerSeed: config.issuerSeed, xkeySeed: config.xkeySeed },
      natsLogFile: config.natsLogFile,
    });
    const description = {
      name: service,
      version,
      description: 'Who may do what on this NATS',
      endpoints: [],
    };
    const announced = announceService(nats, description, config.name);
    return {
      recover: () => callout.recover(),
      serve: () => callout.serve(),
      drain: async () => {
        announced.stop();
        await callout.drain();
        await identity.close();
      },
    };
  },
});
