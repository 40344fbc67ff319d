import { writeFileSync } from 'node:fs';
import { generatedDocuments } from './generated-documents.ts';

// `npm run docs`
for (const [path, text] of Object.entries(await generatedDocuments())) writeFileSync(path, text);
