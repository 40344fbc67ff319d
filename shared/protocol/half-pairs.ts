// Halves of surrogate pairs, which a text holds that was cut in the middle of an emoji. JSON can carry them, as escapes;
// UTF-8 cannot, and with it MessagePack: whoever reads it refuses the whole message for one of them.

/** Whether a JSON text may hold one. A look for an escape, without reading it. O(bytes) */
export function mayHoldHalves(json: Uint8Array): boolean {
  const text = Buffer.from(json.buffer, json.byteOffset, json.byteLength);
  return text.includes('\\ud') || text.includes('\\uD');
}

/** Whether one stands in a text of the value, or in the name of a member. O(size); throws where it is nested too deeply. */
export function holdsHalves(value: unknown): boolean {
  if (typeof value === 'string') return !value.isWellFormed();
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return false;
  if (Array.isArray(value)) return value.some(holdsHalves);
  return Object.entries(value).some(([name, inner]) => !name.isWellFormed() || holdsHalves(inner));
}

/** The value with U+FFFD in the place of each. */
export function wellFormed(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(wellFormed);
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name.toWellFormed(), wellFormed(inner)]),
  );
}
