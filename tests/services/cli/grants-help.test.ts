import { expect, test } from 'vitest';
import { parseGrant } from '#services/cli/commands/grant-text.ts';
import { grantsHelp } from '#services/cli/commands/token-commands.ts';
import { roles } from '#shared/protocol/identity-schemas.ts';

test('the help of `token create` names every role, and all grants in it can be given', () => {
  for (const role of roles) expect(grantsHelp).toMatch(new RegExp(`^  ${role}  +\\S`, 'm'));
  const written = new RegExp(String.raw`\b(?:${roles.join('|')}):\S+`, 'g');
  const grants = grantsHelp.match(written) ?? [];
  expect(grants.length).toBeGreaterThan(5);
  for (const grant of grants) expect(roles).toContain(parseGrant(grant).role);
});
