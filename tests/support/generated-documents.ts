import { format } from 'prettier';
import { asyncApi } from './asyncapi.ts';
import { configurationReference, knownVariables } from './configuration-reference.ts';

/** The documents that are made from the code, by path, formatted as the rest of the tree. */
export async function generatedDocuments(): Promise<Readonly<Record<string, string>>> {
  return {
    'services/cli/known-variables.ts': await format(knownVariables(), {
      parser: 'typescript',
      singleQuote: true,
      printWidth: 110,
    }),
    'docs/configuration.md': await format(configurationReference(), { parser: 'markdown', printWidth: 110 }),
    'docs/asyncapi.json': await format(JSON.stringify(asyncApi()), { parser: 'json', printWidth: 110 }),
  };
}
