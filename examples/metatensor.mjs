// Reads metatensor files as docs/metatensor.md describes them: node examples/metatensor.mjs FILE
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const up = (at, align) => Math.ceil(at / align) * align;
const cut = (view, at, length) => {
  if (at + length > view.byteLength) throw new RangeError(`${length} bytes at ${at}, of ${view.byteLength}`);
  return new DataView(view.buffer, view.byteOffset + at, length);
};
const bytes = (view) => [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)];
const text = (view) => new TextDecoder("utf-8", { fatal: true }).decode(view);
const float = (bits, fraction, bias) => { // of 16 bits: Float16 and BFloat16
  const sign = bits >> 15 ? -1 : 1, high = (bits & 0x7fff) >> fraction, low = (bits & ((1 << fraction) - 1)) / 2 ** fraction;
  return high > 2 * bias ? (low ? NaN : sign * Infinity) : sign * (high ? 1 + low : 2 * low) * 2 ** (high - bias);
};

// A kind has align, size (undefined where it varies) and read(view, at, region), which gives [value, end]. One of
// variable length has bare(view, region) too: the value of bytes whose number is known.
const compiler = (root, little) => {
  const u32 = (view, at) => view.getUint32(at, little);
  const fixed = (size, get) => ({ size, align: size, read: (view, at) => [get(view, at), at + size] });
  const numbers = Object.fromEntries("Int8 Int16 Int32 BigInt64 Uint8 Uint16 Uint32 BigUint64 Float32 Float64".split(" ").map((name) =>
    [name.replace("Big", ""), fixed(name.match(/\d+/) / 8, (view, at) => view[`get${name}`](at, little))]));
  numbers.Float16 = fixed(2, (view, at) => float(view.getUint16(at, little), 10, 15));
  numbers.BFloat16 = fixed(2, (view, at) => float(view.getUint16(at, little), 7, 127));
  numbers.Boolean = fixed(1, (view, at) => view.getUint8(at) === 1);
  const elements = { BOOL: numbers.Boolean, BF16: numbers.BFloat16 }, families = { F: "Float", I: "Int", U: "Uint" };
  const element = (name) => elements[name] ?? numbers[families[name[0]] + name.slice(1)] ?? numbers.Uint8; // raw: Float8
  const inline = (bare) => ({ align: 4, bare, read: (v, at, r) => [bare(cut(v, at + 4, u32(v, at)), r), at + 4 + u32(v, at)] });
  const many = (item, count, view, start, region) => {
    const values = [];
    let at = start, value;
    for (; values.length < count; values.push(value)) [value, at] = item.read(view, up(at, item.align), region);
    return [values, item.size ? start + count * up(item.size, item.align) : at];
  };
  const struct = (fields) => {
    const end = fields.reduce((at, [, kind]) => up(at, kind.align) + kind.size, 0), align = Math.max(1, ...fields.map(([, kind]) => kind.align));
    const made = { fields, align, get size() { return up(end, this.align) || undefined; }, read: (view, at, region) => {
      const value = {};
      for (const [name, kind] of fields) [value[name], at] = kind.read(view, up(at, kind.align), region);
      return [value, up(at, made.align)];
    } };
    return made;
  };
  const builders = {
    String: () => inline(text), Timestamp: () => inline(text), Bytes: () => inline(bytes),
    Enum: (s) => fixed(4, (view, at) => s.enum[u32(view, at)]),
    Struct: (s) => struct(Object.entries(s.properties ?? {}).map(([name, inner]) => [name, kind(inner)])),
    Tensor: (s, item = element(s.dtype), count = s.shape.reduce((product, n) => product * n, 1)) =>
      ({ align: 64, size: count * item.size, read: (...where) => many(item, count, ...where) }),
    Array: (s, item = kind(s.items), stride = up(item.size, item.align)) => {
      if (s.minItems !== undefined && s.minItems === s.maxItems)
        return { align: item.align, size: s.minItems * stride || undefined, read: (...where) => many(item, s.minItems, ...where) };
      const read = (view, at, region) => many(item, u32(view, at), view, up(at + 4, item.align), region);
      return { align: Math.max(4, item.align), read,
        bare: (view, region) => (item.size ? many(item, view.byteLength / stride, view, 0, region) : read(view, 0, region))[0] };
    },
    Record: (s, item = kind(s.values)) => {
      const entry = { align: 4, read: (view, at, region) => {
        const [key, end] = inline(text).read(view, at), [value, last] = item.read(view, up(end, item.align), region);
        return [[key, value], last];
      } };
      const read = (view, at, region, [found, end] = many(entry, u32(view, at), view, at + 4, region)) => [Object.fromEntries(found), end];
      return { align: Math.max(4, item.align), read, bare: (view, region) => read(view, 0, region)[0] };
    },
    Union: ({ mapping, discriminator: { kind: way, offset = 0, type = "Uint8", name } }) => {
      const keys = Object.keys(mapping), byte = way === "byte", index = fixed(4, (view, at) => keys[u32(view, at)]);
      const variants = keys.map((key) => kind(mapping[key])).map((v) => (byte || v.fields[0]?.[0] === name ? v : struct([[name, index], ...v.fields])));
      const tag = byte ? numbers[type.replace("TypeDef:", "")] : variants[0].fields[0][1], inner = Math.max(...variants.map((v) => v.align));
      const start = byte ? up(offset + tag.size, inner) : 0, align = Math.max(inner, tag.align);
      const size = up(start + Math.max(...variants.map((v) => v.size)), align) || undefined;
      return { align, size, read: (view, at, region) => {
        const [key] = tag.read(view, at + offset), [value, end] = variants[keys.indexOf(`${key}`)].read(view, at + start, region);
        return [byte ? { [key]: value } : value, size ? at + size : end];
      } };
    },
  };
  const indirect = (target) => ({ align: 4, size: 8, read: (v, at, r) => [target.bare(cut(r, u32(v, at), u32(v, at + 4)), r), at + 8] });
  const reserved = (target, size, prefixed) => ({ align: 1, size, read: (view, at, region) => {
    const room = cut(view, at, size), end = prefixed ? size : bytes(room).findLastIndex((byte) => byte) + 1;
    return [target.bare(cut(room, 0, end), region), at + size];
  } });
  const resolve = (name) => (name[0] !== "#" ? root.$defs[name] : name.split("/").slice(1)
    .reduce((schema, part) => schema[part.replaceAll("~1", "/").replaceAll("~0", "~")], root));
  const kind = ({ $ref, ...own }) => {
    if ($ref) return kind({ ...resolve($ref), ...own });
    const keyword = Object.keys(own).find((key) => key.startsWith("TypeDef:")), name = keyword.slice(8), s = { ...own, ...own[keyword] };
    let made = builders[name]?.(s) ?? { ...numbers[name] };
    if (made.bare && s.encoding === "offset-indirect") made = indirect(made);
    else if (made.bare && s.maxLength !== undefined && !s.encoding && name !== "Array") made = reserved(made, s.maxLength, name === "Record");
    if (s.align) made.align = s.align;
    return made;
  };
  return kind;
};

export const open = (path) => {
  const file = readFileSync(path), view = new DataView(file.buffer, file.byteOffset, file.length);
  const length = Number(view.getBigUint64(0, true)), header = JSON.parse(text(cut(view, 8, length)));
  if (header.metatensor !== 1) throw new Error(`version ${header.metatensor}, expected 1`);
  const part = ([start, end] = [0, 0]) => cut(view, 8 + length + start, end - start);
  const read = ({ fields, ...kind }, path) => (fields ? Object.fromEntries(fields.map(([name, field]) => [name, read(field, [...path, name])]))
    : kind.read(part(header.offsets[path.join(".")]), 0, part(header.offsets[`${path.join(".")}.$data`]))[0]);
  return { ...header, tree: read(compiler(header.schema, header.endian !== "big")(header.schema), []) };
};

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  console.log(JSON.stringify(open(process.argv[2]).tree, (_, value) => (typeof value === "bigint" ? `${value}` : value)));
