// `node check.mjs FILE`: what the official parser has to say of an AsyncAPI document, as JSON lines; exit status 1 for errors.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
for (const { severity, code, message, path } of diagnostics) {
  console.log(JSON.stringify({ severity, code, message, path: path.join("/") }));
}
if (document === undefined || diagnostics.some(({ severity }) => severity === 0)) process.exit(1);
console.log(JSON.stringify({ version: document.version(), channels: document.channels().length, operations: document.operations().length }));
