import type { TSchema } from 'typebox';

// What is read of an object's schema, whatever its type in TypeScript is.

interface ObjectSchema {
  readonly properties?: Readonly<Record<string, TSchema>>;
  readonly required?: readonly string[];
}

export const propertiesOf = (schema: TSchema | undefined): Readonly<Record<string, TSchema>> =>
  objectIn(schema).properties ?? {};

/** True where an empty object is a value of it. */
export const hasDefaultsOnly = (schema: TSchema): boolean => (objectIn(schema).required ?? []).length === 0;

const objectIn = (schema: TSchema | undefined): ObjectSchema => schema ?? {};
