// Decoded pictures by address, those used last kept up to a sum of bytes.

const MOST_BYTES = 400 * 2 ** 20;
const OF_A_VIEW = 3; // a drawing and both its skins, kept whatever their size
const kept = new Map(); // address → {promise, bitmap}
let bytes = 0;

export const address = (id, size) => `pictures/${size}/${id}.png`;

// The bitmap if it is there already; otherwise undefined, and it is fetched.
export function ready(id, size) {
  load(id, size);
  return kept.get(address(id, size))?.bitmap;
}

export function load(id, size) {
  const name = address(id, size);
  let entry = kept.get(name);
  if (entry) {
    kept.delete(name);
  } else {
    entry = { promise: decode(name).then((bitmap) => keep(name, entry, bitmap), () => void kept.delete(name)) };
  }
  kept.set(name, entry);
  return entry.promise;
}

async function decode(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(name);
  return createImageBitmap(await answer.blob());
}

function keep(name, entry, bitmap) {
  entry.bitmap = bitmap;
  bytes += bitmap.width * bitmap.height * 4;
  for (const [old, other] of [...kept].slice(0, -OF_A_VIEW)) {
    if (bytes <= MOST_BYTES) break;
    if (other === entry || !other.bitmap) continue;
    bytes -= other.bitmap.width * other.bitmap.height * 4;
    other.bitmap.close();
    kept.delete(old);
  }
  return bitmap;
}
