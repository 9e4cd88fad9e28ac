// Runs a model with ONNX Runtime when told to, so that both sides of a benchmark can alternate.
// Arguments: model, pixels (raw float32 file), batch, channels, height, width, threads, clock ("wall" or "processor").
// Each line of input is a number of seconds; the answer is the median milliseconds of one run over about that long.
// The line "logits" is answered with the logits, as JSON.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(path.join(process.env.PEERS ?? '.', 'package.json')));
const ort = require('onnxruntime-node');

const [model, pixels, ...rest] = process.argv.slice(2);
const [batch, channels, height, width, threads] = rest.slice(0, 5).map(Number);
const processor = rest[5] === 'processor';

const session = await ort.InferenceSession.create(model, {
  intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all',
});
const bytes = readFileSync(pixels);
const data = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const feeds = { [session.inputNames[0]]: new ort.Tensor('float32', data, [batch, channels, height, width]) };

const now = () => {
  if (!processor) return performance.now();
  const usage = process.cpuUsage();
  return (usage.user + usage.system) / 1000;
};

console.log(`ONNX Runtime ${require('onnxruntime-node/package.json').version}, Node ${process.version}`);
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'logits') {
    const results = await session.run(feeds);
    console.log(JSON.stringify([...results[session.outputNames[0]].data]));
    continue;
  }
  const end = performance.now() + 1000 * Number(line);
  const times = [];
  do {
    const start = now();
    await session.run(feeds);
    times.push(now() - start);
  } while (performance.now() < end);
  times.sort((a, b) => a - b);
  console.log(times[times.length >> 1]);
}
