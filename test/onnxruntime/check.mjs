// Runs every NAME.onnx of a folder in ONNX Runtime on NAME.input.bin and compares the output with NAME.expected.bin
// (both little-endian float32), relative to the largest expected value. NAME.json holds the shapes, the names and the tolerance.
//   node check.mjs FOLDER
// The folder is written by the tests when REPVGG_ONNX_CHECK names it. Exits with 1 if a file fails or there is none.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ort from 'onnxruntime-node';

const folder = process.argv[2];
if (!folder) {
  console.error('usage: node check.mjs FOLDER');
  process.exit(1);
}

function floats(path) {
  const bytes = readFileSync(path);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

let failed = 0;
const names = readdirSync(folder).filter(file => file.endsWith('.onnx')).map(file => file.slice(0, -'.onnx'.length)).sort();
for (const name of names) {
  try {
    const wanted = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
    const session = await ort.InferenceSession.create(join(folder, `${name}.onnx`));
    const input = new ort.Tensor('float32', floats(join(folder, `${name}.input.bin`)), wanted.inputShape);
    const output = (await session.run({ [wanted.input]: input }))[wanted.output];
    const expected = floats(join(folder, `${name}.expected.bin`));
    if (output.data.length !== expected.length || output.dims.join() !== wanted.outputShape.join())
      throw new Error(`output has shape [${output.dims}], not [${wanted.outputShape}]`);
    let scale = 0;
    let worst = 0;
    for (let i = 0; i < expected.length; i++) {
      scale = Math.max(scale, Math.abs(expected[i]));
      const difference = Math.abs(expected[i] - output.data[i]);
      worst = difference <= worst ? worst : difference; // a NaN sticks
    }
    const error = worst / scale;
    const good = error <= wanted.tolerance;
    failed += good ? 0 : 1;
    console.log(`${good ? 'ok  ' : 'FAIL'} ${name}: relative error ${error.toExponential(2)}, allowed ${wanted.tolerance}`);
    await session.release();
  } catch (error) {
    failed++;
    console.log(`FAIL ${name}: ${error.message}`);
  }
}
console.log(`${names.length} files, ${failed} failed`);
process.exit(failed > 0 || names.length === 0 ? 1 : 0);
