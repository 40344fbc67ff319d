import { expect, test } from 'vitest';
import { type Middleware, compose } from '#shared/client/middleware.ts';

test('layers run from the outside in, and back', async () => {
  const steps: string[] = [];
  const layer =
    (name: string): Middleware<string, number> =>
    async (_, next) => {
      steps.push(`${name} before`);
      const outcome = await next();
      steps.push(`${name} after`);
      return outcome + 1;
    };
  const work = compose([layer('outer'), layer('inner')], (subject: string) => {
    steps.push(subject);
    return 40;
  });
  expect(await work('work')).toBe(42);
  expect(steps).toEqual(['outer before', 'inner before', 'work', 'inner after', 'outer after']);
});

test('a layer can answer without going on, and mend what failed inside', async () => {
  const failing = (): never => {
    throw new Error('inside');
  };
  const cached: Middleware<string, string> = () => 'cached';
  expect(await compose<string, string>([cached], failing)('x')).toBe('cached');
  const mending: Middleware<string, string> = async (_, next) => next().catch(() => 'mended');
  expect(await compose<string, string>([mending], failing)('x')).toBe('mended');
});

test('what fails inside comes out as it is', async () => {
  const fault = new Error('inside');
  const passing: Middleware<string, string> = (_, next) => next();
  const work = compose<string, string>([passing, passing], () => {
    throw fault;
  });
  await expect(work('x')).rejects.toBe(fault);
});

test('going on twice is an error, and the work is done once', async () => {
  let done = 0;
  const twice: Middleware<string, number> = async (_, next) => (await next()) + (await next());
  const work = compose([twice], () => {
    done += 1;
    return done;
  });
  await expect(work('x')).rejects.toThrow('next() twice');
  expect(done).toBe(1);
});

test('without layers nothing stands around the work', () => {
  const work = (subject: number) => subject + 1;
  expect(compose([], work)).toBe(work);
});
