// What was dropped or chosen, as slides: a file is one, and so is a folder with all that lies in it, unless each of its
// files is a slide by itself.
const ALONE = /\.(svs|tiff?|ndpi|scn|bif|czi|png|jpe?g|webp|bmp)$/i;
const HIDDEN = /(^|\/)(\.[^/]*|Thumbs\.db|desktop\.ini)$/i; // What systems put into folders.

export const single = (file) => ({ name: file.name, body: file, headers: { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) } });

// `files` are [path in the folder, file].
export function slidesOfFolder(files) {
  const seen = files.filter(([path]) => !HIDDEN.test(path));
  if (seen.every(([path]) => ALONE.test(path))) return seen.map(([, file]) => single(file));
  return [asOneForm(seen)];
}

function asOneForm(files) {
  const body = new FormData();
  for (const [path, file] of files) body.append("file", file, path);
  return { name: files[0][0].split("/")[0], body, headers: {} };
}

export async function slidesIn(items) {
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter(Boolean); // At once: the list is gone after that.
  const slides = [];
  for (const entry of entries) {
    const files = await walk(entry);
    slides.push(...(entry.isFile ? [single(files[0][1])] : slidesOfFolder(files)));
  }
  return slides;
}

async function walk(entry, path = entry.name) {
  if (entry.isFile) return [[path, await new Promise((resolve, reject) => entry.file(resolve, reject))]];
  const reader = entry.createReader();
  const found = [];
  for (;;) { // It gives a hundred at a time.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const child of some) found.push(...await walk(child, `${path}/${child.name}`));
  }
}
