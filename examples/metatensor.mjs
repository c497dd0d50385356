// A reader of metatensor files, from docs/metatensor.md alone: node examples/metatensor.mjs FILE
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const up = (at, to) => Math.ceil(at / to) * to;
const SIZES = { Int8: 1, Int16: 2, Int32: 4, BigInt64: 8, Uint8: 1, Uint16: 2, Uint32: 4, BigUint64: 8, Float32: 4, Float64: 8 };
const TENSORS = { F64: "Float64", F32: "Float32", F16: "Float16", BF16: "BFloat16", I64: "Int64", I32: "Int32", I16: "Int16",
  I8: "Int8", U64: "Uint64", U32: "Uint32", U16: "Uint16", U8: "Uint8", BOOL: "Boolean", F8_E4M3: "Uint8", F8_E5M2: "Uint8" };
const wide = (bits, exponents, fraction) => {  // a float of few bits, from its bits
  const sign = bits >> (exponents + fraction) ? -1 : 1, e = (bits >> fraction) & ((1 << exponents) - 1), f = bits & ((1 << fraction) - 1);
  if (e === (1 << exponents) - 1) return f ? NaN : sign * Infinity;
  const bias = (1 << (exponents - 1)) - 1;
  return sign * (e ? 1 + f / 2 ** fraction : f / 2 ** (fraction - 1)) * 2 ** (e - bias);
};

export function open(file) {
  const bytes = readFileSync(file), top = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = Number(top.getBigUint64(0, true)), header = JSON.parse(bytes.subarray(8, 8 + length));
  if (header.metatensor !== 1) throw new Error(`version ${header.metatensor}, expected 1`);
  const data = bytes.subarray(8 + length), little = header.endian !== "big", root = header.schema;
  const at_ = (b) => new DataView(b.buffer, b.byteOffset, b.length);  // b: the part's bytes; r: its data region
  const fixed = (size, get) => ({ size, align: size, read: (b, at) => [get(at_(b), at), at + size] });
  const u32 = (b, at) => at_(b).getUint32(at, little), u16 = (v, at) => v.getUint16(at, little);
  const numbers = Object.fromEntries(Object.entries(SIZES).map(([name, size]) => [name.replace("Big", ""), fixed(size, (v, at) => v[`get${name}`](at, little))]));
  numbers.Float16 = fixed(2, (v, at) => wide(u16(v, at), 5, 10));
  numbers.BFloat16 = fixed(2, (v, at) => wide(u16(v, at), 8, 7));
  numbers.Boolean = fixed(1, (v, at) => v.getUint8(at) === 1);
  const inline = (align, bare) => ({ align, bare, read: (b, at, r) => [bare(b.subarray(at + 4, at + 4 + u32(b, at)), r), at + 4 + u32(b, at)] });
  const text = () => inline(4, (b) => b.toString("utf8"));
  const many = (item, b, at, r, count) => {
    const found = [], start = at;
    for (let value; found.length < count; found.push(value)) [value, at] = item.read(b, up(at, item.align), r);
    return [found, item.size === undefined ? at : start + count * up(item.size, item.align)];
  };
  const struct = (fields) => {
    const align = Math.max(1, ...fields.map(([, t]) => t.align)), sized = fields.every(([, t]) => t.size !== undefined);
    const t = { align, fields, read: (b, at, r) => {
      const found = {};
      for (const [name, field] of fields) [found[name], at] = field.read(b, up(at, field.align), r);
      return [found, up(at, t.align)];
    } };
    if (sized) Object.defineProperty(t, "size", { get: () => up(fields.reduce((at, [, f]) => up(at, f.align) + f.size, 0), t.align) });
    return t;
  };
  const make = {
    Bytes: () => inline(4, (b) => [...b]), String: text, Timestamp: text,
    Enum: (s) => fixed(4, (v, at) => s.enum[v.getUint32(at, little)]),
    Struct: (s) => struct(Object.entries(s.properties ?? {}).map(([name, inner]) => [name, type(inner)])),
    Record: (s) => { const item = type(s.values), pair = { align: 4, read: (b, at, r) => {
        const [key, end] = text().read(b, at), [value, last] = item.read(b, up(end, item.align), r);
        return [[key, value], last];
      } };
      const read = (b, at, r) => { const [pairs, end] = many(pair, b, at + 4, r, u32(b, at)); return [Object.fromEntries(pairs), end]; };
      return { align: Math.max(4, item.align), read, bare: (b, r) => read(b, 0, r)[0] }; },
    Array: (s) => { const item = type(s.items), count = s.minItems === s.maxItems ? s.minItems : undefined;
      const read = (b, at, r) => count === undefined ? many(item, b, up(at + 4, item.align), r, u32(b, at)) : many(item, b, at, r, count);
      const whole = count === undefined && item.size !== undefined;  // then its bytes alone tell the count
      return { align: count === undefined ? Math.max(4, item.align) : item.align, read, size: item.size && count * up(item.size, item.align) || undefined,
        bare: (b, r) => whole ? many(item, b, 0, r, b.length / up(item.size, item.align))[0] : read(b, 0, r)[0] }; },
    Tensor: (s) => { const item = { ...numbers[TENSORS[s.dtype]] }, count = s.shape.reduce((a, n) => a * n, 1);
      return { align: 64, size: count * item.size, read: (b, at, r) => many(item, b, at, r, count) }; },
    Union: (s) => { const byte = s.discriminator.kind === "byte", tag = byte ? numbers[(s.discriminator.type ?? "Uint8").replace("TypeDef:", "")] : fixed(4, (v, at) => Object.keys(s.mapping)[v.getUint32(at, little)]);
      const variants = Object.fromEntries(Object.entries(s.mapping).map(([key, inner]) => [key, type(inner)])), offset = s.discriminator.offset ?? 0;
      for (const key in variants) if (!byte && !variants[key].fields.some(([name]) => name === s.discriminator.name)) variants[key] = struct([[s.discriminator.name, tag], ...variants[key].fields]);
      const all = Object.values(variants), inner = Math.max(...all.map((t) => t.align)), start = byte ? up(offset + tag.size, inner) : 0, align = Math.max(inner, tag.align);
      const size = all.every((t) => t.size !== undefined) ? up(start + Math.max(...all.map((t) => t.size)), align) : undefined;
      return { align, size, read: (b, at, r) => {
        const [key] = (byte ? tag : all[0].fields[0][1]).read(b, at + offset), [value, end] = variants[key].read(b, at + start, r);
        return [byte ? { [key]: value } : value, size === undefined ? end : at + size];
      } }; },
  };
  const resolve = (ref) => ref.startsWith("#") ? ref.split("/").slice(1).reduce((s, part) => s[part.replace("~1", "/").replace("~0", "~")], root) : root.$defs[ref];
  const type = ({ $ref, ...own }) => {
    if ($ref) return type({ ...resolve($ref), ...own });
    const key = Object.keys(own).find((name) => name.startsWith("TypeDef:")), name = key.slice(8), s = { ...own, ...(own[key] === true ? {} : own[key]) };
    let t = make[name] ? make[name](s) : { ...numbers[name] };
    const target = t;
    if (t.bare && s.encoding === "offset-indirect")
      t = { size: 8, align: 4, read: (b, at, r) => [target.bare(r.subarray(u32(b, at), u32(b, at) + u32(b, at + 4)), r), at + 8] };
    else if (t.bare && s.maxLength !== undefined && !s.encoding)
      t = { size: s.maxLength, align: 1, read: (b, at, r) => {
        const whole = b.subarray(at, at + s.maxLength), end = whole.findLastIndex((byte) => byte) + 1;
        return [name === "Record" ? target.bare(whole, r) : target.bare(whole.subarray(0, end), r), at + s.maxLength];
      } };
    if (s.align) t.align = s.align;
    return t;
  };
  const read = (t, path) => {
    if (t.fields) return Object.fromEntries(t.fields.map(([name, field]) => [name, read(field, path ? `${path}.${name}` : name)]));
    const [start, end] = header.offsets[path], region = header.offsets[`${path}.$data`] ?? [0, 0];
    return t.read(data.subarray(start, end), 0, data.subarray(...region))[0];
  };
  return { header, tree: read(type(root), "") };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href)
  console.log(JSON.stringify(open(process.argv[2]).tree, (_, value) => (typeof value === "bigint" ? `${value}` : value)));
