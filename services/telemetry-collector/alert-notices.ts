import { encode, json } from '#shared/protocol/encoding.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { AlertNotice, AlertRule } from '#shared/protocol/telemetry-alerts.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import { type KV, JetStreamApiError, type Nats, StorageType } from '#shared/runtime/nats.ts';
import type { AlertStore, StoredAlert } from './alert-watch.ts';

const webhookMsMax = 5_000;

/** JetStream's error for a write over another revision than the last one. */
const wrongLastSequence = 10_071;

/** What alerts are firing, in a KV bucket that all collectors share. */
export function kvAlertStore(nats: Nats, bucket: string, replicas: number): AlertStore {
  let opened: Promise<KV> | undefined;
  const kv = (): Promise<KV> =>
    (opened ??= nats.kvm
      .create(bucket, { history: 1, replicas, storage: StorageType.File })
      .catch((error: unknown) => {
        opened = undefined;
        throw error;
      }));
  return {
    read: async (name) => {
      const entry = await (await kv()).get(name);
      if (entry === null) return { alert: undefined, revision: 0 };
      const alert = entry.operation === 'PUT' ? (JSON.parse(entry.string()) as StoredAlert) : undefined;
      return { alert, revision: entry.revision };
    },
    write: async (name, alert, revision) => {
      try {
        await (await kv()).put(name, JSON.stringify(alert), { previousSeq: revision });
        return true;
      } catch (error) {
        if (error instanceof JetStreamApiError && error.code === wrongLastSequence) return false;
        throw error;
      }
    },
  };
}

/** Tells of an alert on its subject. */
export const alertAnnouncer =
  (nats: Nats, subjects: Subjects) =>
  (rule: AlertRule, notice: AlertNotice): void =>
    nats.connection.publish(subjects.telemetryAlert(rule.name), encode(notice, json));

/**
 * Tells of an alert by POST to its webhook. The webhook's origin was allowed by the operator when the rule was read; a
 * redirect is not followed, so that nobody there can send us elsewhere.
 */
export const webhookCaller =
  (clock: Clock, log: Log) =>
  async (rule: AlertRule, notice: AlertNotice): Promise<boolean> => {
    if (rule.webhook === undefined) return true;
    const abort = new AbortController();
    const cancel = clock.after(webhookMsMax, () => abort.abort());
    try {
      const answer = await fetch(rule.webhook, {
        method: 'POST',
        redirect: 'manual',
        headers: { 'content-type': json },
        body: JSON.stringify(notice),
        signal: abort.signal,
      });
      await answer.arrayBuffer();
      if (answer.ok) return true;
      log.warn({ status: answer.status, alert: rule.name }, 'a webhook did not take the alert; trying again');
    } catch (error) {
      log.warn({ err: error, alert: rule.name }, 'a webhook was not reached; trying again');
    } finally {
      cancel();
    }
    return false;
  };
