// softmax

struct Parameters {
    i0_0_size: i32,
    r0_0_size: i32,
    o0: i32,
    s0_0_0: i32,
    o1: i32,
    s0_1_0: i32,
}
var<immediate> parameters: Parameters;

@group(0) @binding(0) var<storage, read> b0: array<f32>;
@group(0) @binding(1) var<storage, read_write> b1: array<f32>;

var<private> weft_negative_inf_bits: u32 = 0xff800000u;
var<private> weft_zero: u32;
var<private> weft_inf_bits: u32 = 0x7f800000u;

fn weft_isnan(x_: f32) -> bool {
    return (bitcast<u32>(x_) & 2147483647u) > 2139095040u;
}

fn weft_maximum(x_: f32, y_: f32) -> f32 {
    return select(y_, x_, ((x_ > y_) | weft_isnan(x_)));
}

fn weft_exact(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ u32(weft_zero));
}

fn weft_exp_near(r_: f32) -> f32 {
    let t0 = fma(fma(fma(fma(fma(fma(0.0013870626f, r_, 0.008366253f), r_, 0.041667435f), r_, 0.16666546f), r_, 0.49999997f), r_, 1.0f), r_, 1.0f);
    return t0;
}

fn weft_scaled(x_: f32, n_: f32) -> f32 {
    let t0 = bitcast<u32>((n_ + 12582912.0f));
    let t1 = t0 >> 1u;
    return (x_ * bitcast<f32>(((t1 << 23u) + 1065353216u))) * bitcast<f32>((((t0 - t1) << 23u) + 1065353216u));
}

fn weft_exp(x_: f32) -> f32 {
    let t0 = select(weft_exact(x_), (-105.0f), (x_ < (-105.0f)));
    let t1 = select(weft_exact(t0), 89.0f, (t0 > 89.0f));
    let t2 = weft_exact(fma(t1, 1.442695f, 12582912.0f)) - 12582912.0f;
    return weft_scaled(weft_exp_near(fma(t2, (-1.4286068e-06f), weft_exact(fma(t2, (-0.69314575f), t1)))), t2);
}

fn weft_div(x_: f32, y_: f32) -> f32 {
    let t0 = select(1.0f, 0.25f, (abs(y_) > 8.507059e+37f));
    let t1 = x_ * t0;
    let t2 = y_ * t0;
    let t3 = 1.0f / t2;
    let t4 = t1 * t3;
    let t5 = abs(t4);
    return select((t1 / t2), fma(fma((-t4), t2, t1), t3, t4), (((abs(t1) > 1e-30f) & (t5 > 1.2e-38f)) & (t5 < bitcast<f32>(weft_inf_bits))));
}

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) workgroup_id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    weft_zero = workgroup_id.z;
    let group = workgroup_id.y * workgroups.x + workgroup_id.x;
    let item = group * 256u + local;
    if (item >= u32(parameters.i0_0_size)) {
        return;
    }
    let i0_0 = i32(item);
    var acc0_0 = bitcast<f32>(weft_negative_inf_bits);
    let t1 = parameters.o0 + (i0_0 * parameters.s0_0_0);
    var r0_0_next2 = 0i;
    for (; r0_0_next2 + 3i < parameters.r0_0_size; r0_0_next2 += 4i) {
         {
            let r0_0 = r0_0_next2 + 0i;
            let t3 = b0[t1 + r0_0];
            acc0_0 = weft_maximum(acc0_0, t3);
        }
         {
            let r0_0 = r0_0_next2 + 1i;
            let t4 = b0[t1 + r0_0];
            acc0_0 = weft_maximum(acc0_0, t4);
        }
         {
            let r0_0 = r0_0_next2 + 2i;
            let t5 = b0[t1 + r0_0];
            acc0_0 = weft_maximum(acc0_0, t5);
        }
         {
            let r0_0 = r0_0_next2 + 3i;
            let t6 = b0[t1 + r0_0];
            acc0_0 = weft_maximum(acc0_0, t6);
        }
    }
    for (; r0_0_next2 < parameters.r0_0_size; r0_0_next2 += 1i) {
        let r0_0 = r0_0_next2;
        let t7 = b0[t1 + r0_0];
        acc0_0 = weft_maximum(acc0_0, t7);
    }
    var acc0_1 = 0.0f;
    var acc0_1_block = 0.0f;
    var terms8 = 0u;
    var r0_0_next9 = 0i;
    for (; r0_0_next9 + 3i < parameters.r0_0_size; r0_0_next9 += 4i) {
         {
            let r0_0 = r0_0_next9 + 0i;
            let t10 = b0[t1 + r0_0];
            let t11 = weft_exp((t10 - acc0_0));
            acc0_1_block = acc0_1_block + t11;
        }
         {
            let r0_0 = r0_0_next9 + 1i;
            let t12 = b0[t1 + r0_0];
            let t13 = weft_exp((t12 - acc0_0));
            acc0_1_block = acc0_1_block + t13;
        }
         {
            let r0_0 = r0_0_next9 + 2i;
            let t14 = b0[t1 + r0_0];
            let t15 = weft_exp((t14 - acc0_0));
            acc0_1_block = acc0_1_block + t15;
        }
         {
            let r0_0 = r0_0_next9 + 3i;
            let t16 = b0[t1 + r0_0];
            let t17 = weft_exp((t16 - acc0_0));
            acc0_1_block = acc0_1_block + t17;
        }
        terms8 += 4u;
        if (terms8 % 128u == 0u) {
            acc0_1 += acc0_1_block;
            acc0_1_block = 0.0f;
        }
    }
    for (; r0_0_next9 < parameters.r0_0_size; r0_0_next9 += 1i) {
        let r0_0 = r0_0_next9;
        let t18 = b0[t1 + r0_0];
        let t19 = weft_exp((t18 - acc0_0));
        acc0_1_block = acc0_1_block + t19;
    }
    acc0_1 += acc0_1_block;
    acc0_1_block = 0.0f;
    let t20 = parameters.o1 + (i0_0 * parameters.s0_1_0);
    for (var r0_0 = 0i; r0_0 < parameters.r0_0_size; r0_0++) {
        let t21 = b0[t1 + r0_0];
        let t22 = weft_exp((t21 - acc0_0));
        b1[t20 + r0_0] = weft_div(t22, acc0_1);
    }
}
