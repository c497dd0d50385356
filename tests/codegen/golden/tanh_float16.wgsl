// pointwise

struct Parameters {
    i0_0_size: i32,
    o0: i32,
    o2: i32,
}
var<immediate> parameters: Parameters;

@group(0) @binding(0) var<storage, read> b0: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> b1: array<vec2<u32>>;

var<private> weft_zero: u32;

fn weft_exact_x4(x: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4<u32>(weft_zero));
}

fn weft_expm1_near_x4(r_: vec4<f32>) -> vec4<f32> {
    return fma((r_ * r_), fma(fma(fma(fma(vec4<f32>(0.0013870626f), r_, vec4<f32>(0.008366253f)), r_, vec4<f32>(0.041667435f)), r_, vec4<f32>(0.16666546f)), r_, vec4<f32>(0.49999997f)), r_);
}

fn weft_copysign_x4(x_: vec4<f32>, y_: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(((bitcast<vec4<u32>>(x_) & vec4<u32>(2147483647u)) | (bitcast<vec4<u32>>(y_) & vec4<u32>(2147483648u))));
}

fn weft_tanh_x4(x_: vec4<f32>) -> vec4<f32> {
    let t0 = vec4<f32>(2.0f) * abs(x_);
    let t1 = select(weft_exact_x4(t0), vec4<f32>(20.0f), (t0 > vec4<f32>(20.0f)));
    let t2 = fma(t1, vec4<f32>(1.442695f), vec4<f32>(12582912.0f));
    let t3 = bitcast<vec4<f32>>(((bitcast<vec4<u32>>(t2) << vec4<u32>(23u)) + vec4<u32>(1065353216u)));
    let t4 = weft_exact_x4(t2) - vec4<f32>(12582912.0f);
    let t5 = fma(t3, weft_expm1_near_x4(fma(t4, vec4<f32>(-1.4286068e-06f), weft_exact_x4(fma(t4, vec4<f32>(-0.69314575f), t1)))), weft_exact_x4((t3 - vec4<f32>(1.0f))));
    return weft_copysign_x4((t5 / (t5 + vec4<f32>(2.0f))), x_);
}

fn weft_float16_bits(x: f32) -> u32 {
    let word = bitcast<u32>(x);
    let sign = (word >> 16u) & 0x8000u;
    let magnitude = word & 0x7fffffffu;
    // below 2^-14 adding 0.5 leaves the rounded subnormal in the low bits of the sum
    let subnormal = bitcast<u32>(bitcast<f32>(magnitude) + 0.5f) - 0x3f000000u;
    let normal = (magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13u) & 1u)) >> 13u;
    let special = select(0x7c00u, 0x7e00u, magnitude > 0x7f800000u);
    return sign | select(select(normal, subnormal, magnitude < 0x38800000u), special, magnitude >= 0x47800000u);
}

fn weft_pack_float16(v: vec4<f32>) -> vec2<u32> {
    return vec2<u32>(weft_float16_bits(v.x) | (weft_float16_bits(v.y) << 16u), weft_float16_bits(v.z) | (weft_float16_bits(v.w) << 16u));
}

fn weft_tail_16(count: i32) -> vec2<u32> {
    return vec2<u32>(select(0xffffu, 0xffffffffu, count > 1i), select(0u, 0xffffu, count > 2i));
}

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) workgroup_id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    weft_zero = workgroup_id.z;
    let group = workgroup_id.y * workgroups.x + workgroup_id.x;
    let i0_0 = i32(group * 256u + local) * 4i;
    let rest = parameters.i0_0_size - i0_0;
    if (rest <= 0i) {
        return;
    }
    let t0 = parameters.o2 + i0_0;
    let t1 = parameters.o0 + i0_0;
    let t2 = vec4<f32>(unpack2x16float(b0[t1 >> 2u].x), unpack2x16float(b0[t1 >> 2u].y));
    let t3 = weft_tanh_x4(t2);
    if (parameters.i0_0_size - i32(group * 256u) * 4i >= 1024i) {
        b1[t0 >> 2u] = weft_pack_float16(t3);
    }
    else {
        if (rest > 3i) {
            b1[t0 >> 2u] = weft_pack_float16(t3);
        } else {
            let mask = weft_tail_16(rest);
            b1[t0 >> 2u] = (b1[t0 >> 2u] & ~mask) | (weft_pack_float16(t3) & mask);
        }
    }
}
