// argmax

struct Parameters {
    i0_0_size: i32,
    r0_0_size: i32,
    o0: i32,
    s0_0_0: i32,
    o1: i32,
}
var<immediate> parameters: Parameters;

@group(0) @binding(0) var<storage, read> b0: array<f32>;
@group(0) @binding(1) var<storage, read_write> b1: array<i32>;

var<workgroup> shared_f32_0: array<f32, 128>;
var<workgroup> positions_0: array<i32, 128>;
var<workgroup> shared_f32_0_1: array<f32, 16>;
var<workgroup> positions_0_1: array<i32, 16>;

var<private> weft_negative_inf_bits: u32 = 0xff800000u;

fn weft_isnan(x_: f32) -> bool {
    return (bitcast<u32>(x_) & 2147483647u) > 2139095040u;
}

@compute @workgroup_size(128, 1, 1)
fn main(
    @builtin(workgroup_id) workgroup_id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = workgroup_id.y * workgroups.x + workgroup_id.x;
    let item = group;
    if (item >= u32(parameters.i0_0_size)) {
        return;
    }
    let i0_0 = i32(item);
    var acc0_0_best = bitcast<f32>(weft_negative_inf_bits);
    var acc0_0 = 0i;
    let t1 = parameters.o0 + (i0_0 * parameters.s0_0_0);
    var next2 = local;
    for (; next2 + 384u < u32(parameters.r0_0_size); next2 += 512u) {
         {
            let step = next2 + 0u;
            let r0_0 = i32(step);
            let t3 = b0[t1 + r0_0];
            if ((t3 > acc0_0_best) || (weft_isnan(t3) && !weft_isnan(acc0_0_best))) {
                acc0_0_best = t3;
                acc0_0 = i32(step);
            }
        }
         {
            let step = next2 + 128u;
            let r0_0 = i32(step);
            let t4 = b0[t1 + r0_0];
            if ((t4 > acc0_0_best) || (weft_isnan(t4) && !weft_isnan(acc0_0_best))) {
                acc0_0_best = t4;
                acc0_0 = i32(step);
            }
        }
         {
            let step = next2 + 256u;
            let r0_0 = i32(step);
            let t5 = b0[t1 + r0_0];
            if ((t5 > acc0_0_best) || (weft_isnan(t5) && !weft_isnan(acc0_0_best))) {
                acc0_0_best = t5;
                acc0_0 = i32(step);
            }
        }
         {
            let step = next2 + 384u;
            let r0_0 = i32(step);
            let t6 = b0[t1 + r0_0];
            if ((t6 > acc0_0_best) || (weft_isnan(t6) && !weft_isnan(acc0_0_best))) {
                acc0_0_best = t6;
                acc0_0 = i32(step);
            }
        }
    }
    for (; next2 < u32(parameters.r0_0_size); next2 += 128u) {
        let step = next2;
        let r0_0 = i32(step);
        let t7 = b0[t1 + r0_0];
        if ((t7 > acc0_0_best) || (weft_isnan(t7) && !weft_isnan(acc0_0_best))) {
            acc0_0_best = t7;
            acc0_0 = i32(step);
        }
    }
    shared_f32_0[local] = acc0_0_best;
    positions_0[local] = acc0_0;
    workgroupBarrier();
    if (local < 16u) {
        let place8 = local + 0u;
        acc0_0_best = shared_f32_0[place8];
        acc0_0 = positions_0[place8];
        for (var next = 16u; next < 128u; next += 16u) {
            let other9 = shared_f32_0[place8 + next];
            let other9_position = positions_0[place8 + next];
            if (((other9 > acc0_0_best) || (weft_isnan(other9) && !weft_isnan(acc0_0_best))) || (!((acc0_0_best > other9) || (weft_isnan(acc0_0_best) && !weft_isnan(other9))) && other9_position < acc0_0)) {
                acc0_0_best = other9;
                acc0_0 = other9_position;
            }
        }
        shared_f32_0_1[local] = acc0_0_best;
        positions_0_1[local] = acc0_0;
    }
    workgroupBarrier();
    let place10 = 0u;
    acc0_0_best = shared_f32_0_1[place10];
    acc0_0 = positions_0_1[place10];
    for (var next = 1u; next < 16u; next += 1u) {
        let other11 = shared_f32_0_1[place10 + next];
        let other11_position = positions_0_1[place10 + next];
        if (((other11 > acc0_0_best) || (weft_isnan(other11) && !weft_isnan(acc0_0_best))) || (!((acc0_0_best > other11) || (weft_isnan(acc0_0_best) && !weft_isnan(other11))) && other11_position < acc0_0)) {
            acc0_0_best = other11;
            acc0_0 = other11_position;
        }
    }
    if (local == 0u) {
        b1[parameters.o1 + i0_0] = acc0_0;
    }
}
