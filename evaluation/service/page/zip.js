// A zip archive made in the browser, members stored as they are: for loose files and folders.

const MOST_FILES = 65535;
const MOST_BYTES = 0xffffffff;
const UTF8_NAMES = 0x0800;
const OLDEST_DATE = 0x21;

/** Archive `[path, Blob]` members. Throws where the plain zip format ends. */
export async function zipFiles(members, onProgress = () => {}) {
  const total = members.reduce((sum, [, file]) => sum + file.size, 0);
  if (members.length >= MOST_FILES || total >= MOST_BYTES) {
    throw new RangeError(
      "These are too many files, or more than 4 GiB: zip them yourself and drop the archive.",
    );
  }
  const parts = [];
  const directory = [];
  let at = 0;
  for (const [index, [path, file]] of members.entries()) {
    const name = new TextEncoder().encode(path);
    const entry = { name, size: file.size, crc: await crc32(file), at };
    parts.push(header(entry), file);
    directory.push(record(entry));
    at += 30 + name.length + file.size;
    onProgress(index + 1, members.length);
  }
  const length = directory.reduce((sum, one) => sum + one.length, 0);
  return new Blob([...parts, ...directory, ending(members.length, length, at)], { type: "application/zip" });
}

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

async function crc32(file) {
  let crc = 0xffffffff;
  const reader = file.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return (crc ^ 0xffffffff) >>> 0;
    for (let i = 0; i < value.length; i += 1) crc = TABLE[(crc ^ value[i]) & 255] ^ (crc >>> 8);
  }
}

/** Little-endian bytes of [value, width] fields. */
function bytes(fields, tail = []) {
  const length = fields.reduce((sum, [, width]) => sum + width, 0);
  const made = new Uint8Array(length + tail.length);
  const view = new DataView(made.buffer);
  let at = 0;
  for (const [value, width] of fields) {
    if (width === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += width;
  }
  made.set(tail, at);
  return made;
}

function common({ name, size, crc }) {
  return [
    [20, 2],
    [UTF8_NAMES, 2],
    [0, 2],
    [0, 2],
    [OLDEST_DATE, 2],
    [crc, 4],
    [size, 4],
    [size, 4],
    [name.length, 2],
    [0, 2],
  ];
}

function header(entry) {
  return bytes([[0x04034b50, 4], ...common(entry)], entry.name);
}

function record(entry) {
  return bytes(
    [[0x02014b50, 4], [20, 2], ...common(entry), [0, 2], [0, 2], [0, 2], [0, 4], [entry.at, 4]],
    entry.name,
  );
}

function ending(files, length, at) {
  return bytes([
    [0x06054b50, 4],
    [0, 2],
    [0, 2],
    [files, 2],
    [files, 2],
    [length, 4],
    [at, 4],
    [0, 2],
  ]);
}
