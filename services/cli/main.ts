#!/usr/bin/env node
import { keepCompiled } from './compile-cache.ts';

// Before the command is loaded, since its modules are what it is about.
keepCompiled(process.env);
await import('./command.ts');
