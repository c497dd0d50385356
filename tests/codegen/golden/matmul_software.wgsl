// matmul_float32_float32_float32

struct Parameters {
    batch0: i32,
    batch1: i32,
    m: i32,
    n: i32,
    k: i32,
    a_offset: i32,
    a_b0: i32,
    a_b1: i32,
    a_m: i32,
    a_k: i32,
    b_offset: i32,
    b_b0: i32,
    b_b1: i32,
    b_k: i32,
    b_n: i32,
    c_offset: i32,
    c_b0: i32,
    c_b1: i32,
    c_m: i32,
    c_n: i32,
}
var<immediate> parameters: Parameters;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

fn a_outer(batch: i32, index: i32) -> vec4<i32> {
    let b0 = batch / parameters.batch1;
    let b1 = batch % parameters.batch1;
    let at = parameters.a_offset + b0 * parameters.a_b0 + b1 * parameters.a_b1 + index * parameters.a_m;
    return vec4<i32>(at, 0i, 0i, 0i);
}

fn a_depth(depth: i32) -> vec4<i32> {
    return vec4<i32>(depth * parameters.a_k, 0i, 0i, 0i);
}

fn a_value(outer: vec4<i32>, depth: vec4<i32>) -> f32 {
    let index = outer.x + depth.x;
    return a[index];
}

fn b_outer(batch: i32, index: i32) -> vec4<i32> {
    let b0 = batch / parameters.batch1;
    let b1 = batch % parameters.batch1;
    let at = parameters.b_offset + b0 * parameters.b_b0 + b1 * parameters.b_b1 + index * parameters.b_n;
    return vec4<i32>(at, 0i, 0i, 0i);
}

fn b_depth(depth: i32) -> vec4<i32> {
    return vec4<i32>(depth * parameters.b_k, 0i, 0i, 0i);
}

fn b_value(outer: vec4<i32>, depth: vec4<i32>) -> f32 {
    let index = outer.x + depth.x;
    return b[index];
}

fn store_out(batch: i32, row: i32, column: i32, value: f32) {
    let b0 = batch / parameters.batch1;
    let b1 = batch % parameters.batch1;
    let index = parameters.c_offset + b0 * parameters.c_b0 + b1 * parameters.c_b1 + row * parameters.c_m + column * parameters.c_n;
    c[index] = value;
}

@compute @workgroup_size(64, 1, 1)
fn main(
    @builtin(workgroup_id) workgroup_id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = i32(workgroup_id.y * workgroups.x + workgroup_id.x);
    let tile_columns = (parameters.n + 31i) / 32i;
    let tile_rows = (parameters.m + 31i) / 32i;
    let batch = group / (tile_rows * tile_columns);
    if (batch >= (parameters.batch0 * parameters.batch1)) {
        return;
    }
    let tile_number = group % (tile_rows * tile_columns);
    let row0 = tile_number / tile_columns * 32i;
    let column0 = tile_number % tile_columns * 32i;
    let across = i32(local % 8u);
    let down = i32(local / 8u);
    var c0_0 = vec4<f32>();
    var c1_0 = vec4<f32>();
    var c2_0 = vec4<f32>();
    var c3_0 = vec4<f32>();
    let a_outer0 = a_outer(batch, min(row0 + down * 4i + 0i, parameters.m - 1i));
    let a_outer1 = a_outer(batch, min(row0 + down * 4i + 1i, parameters.m - 1i));
    let a_outer2 = a_outer(batch, min(row0 + down * 4i + 2i, parameters.m - 1i));
    let a_outer3 = a_outer(batch, min(row0 + down * 4i + 3i, parameters.m - 1i));
    let b_outer0 = b_outer(batch, min(column0 + across + 0i, parameters.n - 1i));
    let b_outer1 = b_outer(batch, min(column0 + across + 8i, parameters.n - 1i));
    let b_outer2 = b_outer(batch, min(column0 + across + 16i, parameters.n - 1i));
    let b_outer3 = b_outer(batch, min(column0 + across + 24i, parameters.n - 1i));
    for (var k = 0i; k < parameters.k; k++) {
        let a_at = a_depth(k);
        let b_at = b_depth(k);
        let a0 = a_value(a_outer0, a_at);
        let a1 = a_value(a_outer1, a_at);
        let a2 = a_value(a_outer2, a_at);
        let a3 = a_value(a_outer3, a_at);
        let b0 = vec4<f32>(b_value(b_outer0, b_at), b_value(b_outer1, b_at), b_value(b_outer2, b_at), b_value(b_outer3, b_at));
        c0_0 = fma(vec4<f32>(a0), b0, c0_0);
        c1_0 = fma(vec4<f32>(a1), b0, c1_0);
        c2_0 = fma(vec4<f32>(a2), b0, c2_0);
        c3_0 = fma(vec4<f32>(a3), b0, c3_0);
    }
    {
        let row = row0 + down * 4i + 0i;
        if (row < parameters.m) {
            if (column0 + across + 0i < parameters.n) { store_out(batch, row, column0 + across + 0i, c0_0.x); }
            if (column0 + across + 8i < parameters.n) { store_out(batch, row, column0 + across + 8i, c0_0.y); }
            if (column0 + across + 16i < parameters.n) { store_out(batch, row, column0 + across + 16i, c0_0.z); }
            if (column0 + across + 24i < parameters.n) { store_out(batch, row, column0 + across + 24i, c0_0.w); }
        }
    }
    {
        let row = row0 + down * 4i + 1i;
        if (row < parameters.m) {
            if (column0 + across + 0i < parameters.n) { store_out(batch, row, column0 + across + 0i, c1_0.x); }
            if (column0 + across + 8i < parameters.n) { store_out(batch, row, column0 + across + 8i, c1_0.y); }
            if (column0 + across + 16i < parameters.n) { store_out(batch, row, column0 + across + 16i, c1_0.z); }
            if (column0 + across + 24i < parameters.n) { store_out(batch, row, column0 + across + 24i, c1_0.w); }
        }
    }
    {
        let row = row0 + down * 4i + 2i;
        if (row < parameters.m) {
            if (column0 + across + 0i < parameters.n) { store_out(batch, row, column0 + across + 0i, c2_0.x); }
            if (column0 + across + 8i < parameters.n) { store_out(batch, row, column0 + across + 8i, c2_0.y); }
            if (column0 + across + 16i < parameters.n) { store_out(batch, row, column0 + across + 16i, c2_0.z); }
            if (column0 + across + 24i < parameters.n) { store_out(batch, row, column0 + across + 24i, c2_0.w); }
        }
    }
    {
        let row = row0 + down * 4i + 3i;
        if (row < parameters.m) {
            if (column0 + across + 0i < parameters.n) { store_out(batch, row, column0 + across + 0i, c3_0.x); }
            if (column0 + across + 8i < parameters.n) { store_out(batch, row, column0 + across + 8i, c3_0.y); }
            if (column0 + across + 16i < parameters.n) { store_out(batch, row, column0 + across + 16i, c3_0.z); }
            if (column0 + across + 24i < parameters.n) { store_out(batch, row, column0 + across + 24i, c3_0.w); }
        }
    }
}
