/**
 * One layer around a piece of work. It may do something before and after, change what comes back, answer without
 * calling `next`, or throw. `next` is called once at most.
 */
export type Middleware<Subject, Outcome> = (
  subject: Subject,
  next: () => Promise<Outcome>,
) => Promise<Outcome> | Outcome;

/** `work` within all layers: the first is the outermost. Without layers it is `work` itself. */
export function compose<Subject, Outcome>(
  layers: readonly Middleware<Subject, Outcome>[],
  work: (subject: Subject) => Promise<Outcome> | Outcome,
): (subject: Subject) => Promise<Outcome> | Outcome {
  return layers.reduceRight<(subject: Subject) => Promise<Outcome> | Outcome>(
    (inner, layer) => (subject) => layer(subject, once(inner, subject)),
    work,
  );
}

/** A second `next` would run a handler twice, or add an item twice. */
function once<Subject, Outcome>(
  inner: (subject: Subject) => Promise<Outcome> | Outcome,
  subject: Subject,
): () => Promise<Outcome> {
  let called = false;
  return async () => {
    if (called) throw new Error('a middleware called next() twice');
    called = true;
    return inner(subject);
  };
}
