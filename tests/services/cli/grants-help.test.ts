import { expect, test } from 'vitest';
import { parseGrant } from '#services/cli/commands/grant-text.ts';
import { grantsHelp } from '#services/cli/commands/token-commands.ts';
import { roles } from '#shared/protocol/identity-schemas.ts';

test('the help of `token create` names every role, and all grants in it can be given', () => {
  for (const role of roles) expect(grantsHelp).toMatch(new RegExp(`^  ${role}  +\\S`, 'm'));
  const written = new RegExp(String.raw`\b(?:${roles.join('|')}):[^\s']+`, 'g');
  const grants = grantsHelp.match(written) ?? [];
  expect(grants.length).toBeGreaterThan(5);
  for (const grant of grants) expect(roles).toContain(parseGrant(grant).role);
});

test('the help says what holds over HTTP alone, wherever it shows such a grant, and quotes it for shells', () => {
  const lines = grantsHelp.split('\n').filter((line) => /:own\b|=\S*\*/.test(line));
  expect(lines.length).toBeGreaterThan(2);
  for (const line of lines) expect(line).toContain('over HTTP alone');
  for (const line of lines.filter((one) => one.includes('--grant'))) expect(line).toMatch(/'\S+\*'/);
});
