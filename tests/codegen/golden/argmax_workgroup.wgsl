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

var<workgroup> shared_f32_0: array<f32, 256>;
var<workgroup> positions_0: array<i32, 256>;

var<private> weft_negative_inf_bits: u32 = 0xff800000u;

fn weft_isnan(x_: f32) -> bool {
    return (bitcast<u32>(x_) & 2147483647u) > 2139095040u;
}

@compute @workgroup_size(256, 1, 1)
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
    for (var step = local; step < u32(parameters.r0_0_size); step += 256u) {
        let r0_0 = i32(step);
        let t2 = b0[t1 + r0_0];
        if ((t2 > acc0_0_best) || (weft_isnan(t2) && !weft_isnan(acc0_0_best))) {
            acc0_0_best = t2;
            acc0_0 = i32(step);
        }
    }
    shared_f32_0[local] = acc0_0_best;
    positions_0[local] = acc0_0;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if (local < half) {
            let other3 = shared_f32_0[local + half];
            let other3_position = positions_0[local + half];
            if (((other3 > shared_f32_0[local]) || (weft_isnan(other3) && !weft_isnan(shared_f32_0[local]))) || (!((shared_f32_0[local] > other3) || (weft_isnan(shared_f32_0[local]) && !weft_isnan(other3))) && other3_position < positions_0[local])) {
                shared_f32_0[local] = other3;
                positions_0[local] = other3_position;
            }
        }
        workgroupBarrier();
    }
    acc0_0 = positions_0[0];
    workgroupBarrier();
    if (local == 0u) {
        b1[parameters.o1 + i0_0] = acc0_0;
    }
}
