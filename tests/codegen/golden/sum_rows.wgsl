// sum

struct Parameters {
    i0_0_size: i32,
    i0_1_size: i32,
    r0_0_size: i32,
    o0: i32,
    s0_0_0: i32,
    s0_0_2: i32,
    o1: i32,
    s0_1_0: i32,
}
var<immediate> parameters: Parameters;

@group(0) @binding(0) var<storage, read> b0: array<f32>;
@group(0) @binding(1) var<storage, read_write> b1: array<f32>;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) workgroup_id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = workgroup_id.y * workgroups.x + workgroup_id.x;
    let item = group * 256u + local;
    let t0 = parameters.i0_0_size * parameters.i0_1_size;
    if (item >= u32(t0)) {
        return;
    }
    let i0_1 = i32(item % u32(parameters.i0_1_size));
    let rest1 = item / u32(parameters.i0_1_size);
    let i0_0 = i32(rest1);
    var acc0_0 = 0.0f;
    var acc0_0_block = 0.0f;
    var terms2 = 0u;
    let t3 = (parameters.o0 + (i0_0 * parameters.s0_0_0)) + i0_1;
    var r0_0_next4 = 0i;
    for (; r0_0_next4 + 3i < parameters.r0_0_size; r0_0_next4 += 4i) {
         {
            let r0_0 = r0_0_next4 + 0i;
            let t5 = b0[t3 + (r0_0 * parameters.s0_0_2)];
            acc0_0_block = acc0_0_block + t5;
        }
         {
            let r0_0 = r0_0_next4 + 1i;
            let t6 = b0[t3 + (r0_0 * parameters.s0_0_2)];
            acc0_0_block = acc0_0_block + t6;
        }
         {
            let r0_0 = r0_0_next4 + 2i;
            let t7 = b0[t3 + (r0_0 * parameters.s0_0_2)];
            acc0_0_block = acc0_0_block + t7;
        }
         {
            let r0_0 = r0_0_next4 + 3i;
            let t8 = b0[t3 + (r0_0 * parameters.s0_0_2)];
            acc0_0_block = acc0_0_block + t8;
        }
        terms2 += 4u;
        if (terms2 % 128u == 0u) {
            acc0_0 += acc0_0_block;
            acc0_0_block = 0.0f;
        }
    }
    for (; r0_0_next4 < parameters.r0_0_size; r0_0_next4 += 1i) {
        let r0_0 = r0_0_next4;
        let t9 = b0[t3 + (r0_0 * parameters.s0_0_2)];
        acc0_0_block = acc0_0_block + t9;
    }
    acc0_0 += acc0_0_block;
    acc0_0_block = 0.0f;
    b1[(parameters.o1 + (i0_0 * parameters.s0_1_0)) + i0_1] = acc0_0;
}
