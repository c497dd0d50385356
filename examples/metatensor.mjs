// Reads metatensor files as docs/metatensor.md describes them: node examples/metatensor.mjs FILE
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const up = (at, align) => Math.ceil(at / align) * align;
const text = (view) => new TextDecoder("utf-8", { fatal: true }).decode(view);
const bytes = (view) => [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)];
const greatest = (kinds, key) => kinds.reduce((most, kind) => Math.max(most, kind[key]), key === "align" ? 1 : 0);
const cut = (view, at, length) => {
  if (at + length > view.byteLength) throw new RangeError(`${length} bytes at ${at} of ${view.byteLength}`);
  return new DataView(view.buffer, view.byteOffset + at, length);
};
const small = (bits, fraction, bias) => { // a float of 16 bits
  const sign = bits >> 15 ? -1 : 1, high = (bits & 0x7fff) >> fraction, low = (bits & ((1 << fraction) - 1)) / 2 ** fraction;
  return high === 2 * bias + 1 ? (low ? NaN : sign * Infinity) : sign * (high ? 1 + low : 2 * low) * 2 ** (high - bias);
};

// A kind of value: its alignment, its size (undefined where it varies), and read(view, at, region) giving [value, end].
// What varies has bare(view, region) too: the value of bytes whose number is known.
function compiler(root, little) {
  const u32 = (view, at) => view.getUint32(at, little), u16 = (view, at) => view.getUint16(at, little);
  const fixed = (size, get) => ({ size, align: size, read: (view, at) => [get(view, at), at + size] });
  const getter = (name, size) => fixed(size, (view, at) => view[`get${name}`](at, little));
  const numbers = { Float16: fixed(2, (v, at) => small(u16(v, at), 10, 15)), BFloat16: fixed(2, (v, at) => small(u16(v, at), 7, 127)),
    Int64: getter("BigInt64", 8), Uint64: getter("BigUint64", 8), Boolean: fixed(1, (v, at) => v.getUint8(at) === 1) };
  for (const [name, size] of [["Int8", 1], ["Int16", 2], ["Int32", 4], ["Uint8", 1], ["Uint16", 2], ["Uint32", 4], ["Float32", 4], ["Float64", 8]])
    numbers[name] = getter(name, size);
  const element = (name) => numbers[{ B: "Boolean", BF16: "BFloat16" }[name] ?? { F: "Float", I: "Int", U: "Uint", B: "Boolean" }[name[0]]
    + (name === "BOOL" ? "" : name.slice(1))] ?? numbers.Uint8;
  const inline = (bare) => ({ align: 4, bare, read: (v, at, r) => [bare(cut(v, at + 4, u32(v, at)), r), at + 4 + u32(v, at)] });
  const many = (item, count, view, start, region) => {
    const values = [];
    for (let at = start, value; ; values.push(value)) {
      if (values.length === count) return [values, item.size === undefined ? at : start + count * up(item.size, item.align)];
      [value, at] = item.read(view, up(at, item.align), region);
    }
  };
  const struct = (fields) => {
    const kinds = fields.map(([, kind]) => kind), end = kinds.reduce((at, kind) => up(at, kind.align) + kind.size, 0);
    const made = { fields, align: greatest(kinds, "align"), read: (view, at, region) => {
      const value = {};
      for (const [name, kind] of fields) [value[name], at] = kind.read(view, up(at, kind.align), region);
      return [value, up(at, made.align)];
    } };
    return Object.defineProperty(made, "size", { get: () => (Number.isNaN(end) ? undefined : up(end, made.align)) });
  };
  const builders = {
    String: () => inline(text), Timestamp: () => inline(text), Bytes: () => inline(bytes),
    Enum: (s) => fixed(4, (view, at) => s.enum[u32(view, at)]),
    Struct: (s) => struct(Object.entries(s.properties ?? {}).map(([name, inner]) => [name, kind(inner)])),
    Tensor: (s) => {
      const item = element(s.dtype), count = s.shape.reduce((product, n) => product * n, 1);
      return { align: 64, size: count * item.size, read: (...where) => many(item, count, ...where) };
    },
    Array: (s) => {
      const item = kind(s.items), count = s.minItems === s.maxItems ? s.minItems : undefined, stride = up(item.size, item.align);
      if (count !== undefined) return { align: item.align, size: item.size && count * stride, read: (...where) => many(item, count, ...where) };
      const read = (view, at, region) => many(item, u32(view, at), view, up(at + 4, item.align), region);
      const bare = (view, region) => (item.size ? many(item, view.byteLength / stride, view, 0, region) : read(view, 0, region))[0];
      return { align: Math.max(4, item.align), read, bare };
    },
    Record: (s) => {
      const value = kind(s.values), key = inline(text);
      const entry = { align: 4, read: (view, at, region) => {
        const [name, end] = key.read(view, at), [found, last] = value.read(view, up(end, value.align), region);
        return [[name, found], last];
      } };
      const read = (view, at, region) => {
        const [entries, end] = many(entry, u32(view, at), view, at + 4, region);
        return [Object.fromEntries(entries), end];
      };
      return { align: Math.max(4, value.align), read, bare: (view, region) => read(view, 0, region)[0] };
    },
    Union: ({ discriminator: { kind: way, offset = 0, type = "Uint8", name }, mapping }) => {
      const keys = Object.keys(mapping), made = keys.map((key) => kind(mapping[key])), byte = way === "byte";
      const index = fixed(4, (view, at) => keys[u32(view, at)]);
      const variants = made.map((v) => (byte || v.fields[0]?.[0] === name ? v : struct([[name, index], ...v.fields])));
      const tag = byte ? numbers[type.replace("TypeDef:", "")] : variants[0].fields[0][1];
      const inner = greatest(variants, "align"), start = byte ? up(offset + tag.size, inner) : 0, align = Math.max(inner, tag.align);
      const size = variants.every((variant) => variant.size !== undefined) ? up(start + greatest(variants, "size"), align) : undefined;
      return { align, size, read: (view, at, region) => {
        const key = tag.read(view, at + offset)[0], [value, end] = variants[keys.indexOf(`${key}`)].read(view, at + start, region);
        return [byte ? { [key]: value } : value, size === undefined ? end : at + size];
      } };
    },
  };
  const resolve = (name) => name[0] !== "#" ? root.$defs[name]
    : name.split("/").slice(1).reduce((schema, part) => schema[part.replaceAll("~1", "/").replaceAll("~0", "~")], root);
  const reserved = (target, size, isText) => ({ align: 1, size, read: (view, at, region) => {
    const room = cut(view, at, size), end = isText ? bytes(room).findLastIndex((byte) => byte) + 1 : size;
    return [target.bare(cut(room, 0, end), region), at + size];
  } });
  const indirect = (target) => ({ align: 4, size: 8, read: (view, at, region) =>
    [target.bare(cut(region, u32(view, at), u32(view, at + 4)), region), at + 8] });
  function kind({ $ref, ...own }) {
    if ($ref) return kind({ ...resolve($ref), ...own });
    const keyword = Object.keys(own).find((key) => key.startsWith("TypeDef:")), name = keyword.slice(8), s = { ...own, ...own[keyword] };
    let made = builders[name]?.(s) ?? { ...numbers[name] };
    if (made.bare && s.encoding === "offset-indirect") made = indirect(made);
    else if (made.bare && s.maxLength !== undefined && !s.encoding && name !== "Array") made = reserved(made, s.maxLength, name !== "Record");
    if (s.align) made.align = s.align;
    return made;
  }
  return kind;
}

export function open(path) {
  const file = readFileSync(path), view = new DataView(file.buffer, file.byteOffset, file.length);
  const length = Number(view.getBigUint64(0, true)), header = JSON.parse(text(cut(view, 8, length)));
  if (header.metatensor !== 1) throw new Error(`version ${header.metatensor}, expected 1`);
  const part = (name) => { const [start, end] = header.offsets[name] ?? [0, 0]; return cut(view, 8 + length + start, end - start); };
  const read = ({ fields, ...kind }, path) => fields
    ? Object.fromEntries(fields.map(([name, field]) => [name, read(field, [...path, name])]))
    : kind.read(part(path.join(".")), 0, part(`${path.join(".")}.$data`))[0];
  return { ...header, tree: read(compiler(header.schema, header.endian !== "big")(header.schema), []) };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  console.log(JSON.stringify(open(process.argv[2]).tree, (_, value) => (typeof value === "bigint" ? `${value}` : value)));
