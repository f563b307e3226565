/** Lets a program that imports the package by name run on the sources, as the tests do: `node --import <this file> <program>`. */
import { registerHooks } from 'node:module';
import { entries, specifier } from '../../scripts/entries.mjs';

const sources = new Map(
  Object.entries(entries).map(([name, source]) => [
    specifier(name),
    new URL(`../../${source}`, import.meta.url).href,
  ]),
);

registerHooks({
  resolve: (name, context, next) => next(sources.get(name) ?? name, context),
});
