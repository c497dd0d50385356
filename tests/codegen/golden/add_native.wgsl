// pointwise

struct Parameters {
    i0_0_size: i32,
    o0: i32,
    o1: i32,
    o2: i32,
}
var<immediate> parameters: Parameters;

@group(0) @binding(0) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b1: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> b2: array<vec4<f32>>;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) workgroup_id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = workgroup_id.y * workgroups.x + workgroup_id.x;
    let i0_0 = i32(group * 256u + local) * 4i;
    let rest = parameters.i0_0_size - i0_0;
    if (rest <= 0i) {
        return;
    }
    let t0 = parameters.o2 + i0_0;
    let t1 = parameters.o0 + i0_0;
    let t2 = b0[t1 >> 2u];
    let t3 = parameters.o1 + i0_0;
    let t4 = b1[t3 >> 2u];
    let t5 = t2 + t4;
    if (parameters.i0_0_size - i32(group * 256u) * 4i >= 1024i) {
        b2[t0 >> 2u] = t5;
    }
    else {
        if (rest > 3i) {
            b2[t0 >> 2u] = t5;
        } else {
            b2[t0 >> 2u].x = t5.x;
            if (rest > 1i) { b2[t0 >> 2u].y = t5.y; }
            if (rest > 2i) { b2[t0 >> 2u].z = t5.z; }
        }
    }
}
