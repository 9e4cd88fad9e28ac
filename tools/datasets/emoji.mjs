// Assembles folders of emoji of 64x64 pixels in 7 classes, from the npm packages emoji-datasource-VENDOR, for docs/recipes.md.
//
//   node emoji.mjs DIR         DIR/CLASS/VENDOR-CODE.png: 2,824 images of two vendors, which `repvgg train DIR` divides
//   node emoji.mjs DIR fine-tune   DIR/twitter/CLASS/CODE.png: one vendor, to train on; DIR/google/train and DIR/google/val: a tenth of the
//                              other's images of each class to fine-tune on, and the rest
//
// Needs npm, and tar. The images are not part of this repository; each package has its own licence.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

const VERSION = "16.0.0";
const VENDORS = ["twitter", "google"];
const CLASSES = {
  "Smileys & Emotion": "smileys",
  "People & Body": "people",
  "Animals & Nature": "nature",
  "Food & Drink": "food",
  "Travel & Places": "travel",
  "Activities": "activities",
  "Objects": "objects",
};

/** The emoji of the classes: class, code and file. */
function read(vendor, temporary) {
  const name = `emoji-datasource-${vendor}`;
  const [archive] = JSON.parse(execFileSync("npm", ["pack", "--json", `${name}@${VERSION}`], { cwd: temporary, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
  const folder = join(temporary, vendor);
  mkdirSync(folder);
  execFileSync("tar", ["xzf", join(temporary, archive.filename), "-C", folder, "--wildcards", "package/emoji.json", `package/img/${vendor}/64/*`]);
  const list = JSON.parse(readFileSync(join(folder, "package", "emoji.json"), "utf8"));
  return list
    .filter((emoji) => CLASSES[emoji.category] && emoji[`has_img_${vendor}`])
    .map((emoji) => ({ label: CLASSES[emoji.category], code: emoji.unified.toLowerCase(), file: join(folder, "package", "img", vendor, "64", emoji.image) }));
}

function copy(emoji, ...path) {
  const target = join(...path);
  mkdirSync(dirname(target), { recursive: true });
  cpSync(emoji.file, target);
}

/** A tenth of the emoji of each class, always the same ones. */
function tenth(list) {
  const order = (emoji) => createHash("sha256").update(emoji.code).digest("hex");
  const chosen = new Set();
  for (const label of Object.values(CLASSES)) {
    const members = list.filter((emoji) => emoji.label === label).sort((a, b) => (order(a) < order(b) ? -1 : 1));
    members.slice(0, Math.round(members.length / 10)).forEach((emoji) => chosen.add(emoji));
  }
  return chosen;
}

const [out, task] = process.argv.slice(2);
if (!out || (task !== undefined && task !== "fine-tune")) {
  console.error("Usage: node emoji.mjs DIR [fine-tune]");
  process.exit(2);
}
if (existsSync(out)) {
  console.error(`${out} exists. Give the name of a new folder.`);
  process.exit(2);
}
mkdirSync(dirname(resolve(out)), { recursive: true });
const temporary = mkdtempSync(`${resolve(out)}.tmp-`);
try {
  const result = join(temporary, "result");
  for (const vendor of VENDORS) {
    const list = read(vendor, temporary);
    if (task === undefined) {
      list.forEach((emoji) => copy(emoji, result, emoji.label, `${vendor}-${emoji.code}.png`));
    } else if (vendor === "twitter") {
      list.forEach((emoji) => copy(emoji, result, vendor, emoji.label, `${emoji.code}.png`));
    } else {
      const training = tenth(list);
      list.forEach((emoji) => copy(emoji, result, vendor, training.has(emoji) ? "train" : "val", emoji.label, `${emoji.code}.png`));
    }
    console.log(`${vendor}: ${list.length} images in ${new Set(list.map((emoji) => emoji.label)).size} classes`);
  }
  renameSync(result, out);
} finally {
  rmSync(temporary, { recursive: true });
}
