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

var<workgroup> tile_a: array<array<vec4<f32>, 16>, 16>;
var<workgroup> tile_b: array<array<vec4<f32>, 16>, 16>;

fn a_outer(batch: i32, index: i32) -> vec4<i32> {
    let b0 = batch / parameters.batch1;
    let b1 = batch % parameters.batch1;
    let at = parameters.a_offset + b0 * parameters.a_b0 + b1 * parameters.a_b1 + index * parameters.a_m;
    return vec4<i32>(at, 0i, 0i, 0i);
}

fn a_depth(at: vec4<i32>) -> vec4<i32> {
    return vec4<i32>(at.w * parameters.a_k, 0i, 0i, 0i);
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

fn b_depth(at: vec4<i32>) -> vec4<i32> {
    return vec4<i32>(at.w * parameters.b_k, 0i, 0i, 0i);
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

fn depth_place(k: i32) -> vec4<i32> {
    return vec4<i32>(k % 1i, k / 1i % 1i, k / (1i * 1i), k);
}

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) workgroup_id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = i32(workgroup_id.y * workgroups.x + workgroup_id.x);
    let tile_columns = (parameters.n + 63i) / 64i;
    let tile_rows = (parameters.m + 63i) / 64i;
    let batch = group / (tile_rows * tile_columns);
    if (batch >= (parameters.batch0 * parameters.batch1)) {
        return;
    }
    let tile_number = group % (tile_rows * tile_columns);
    let row0 = tile_number / tile_columns * 64i;
    let column0 = tile_number % tile_columns * 64i;
    let across = i32(local % 16u);
    let down = i32(local / 16u);
    var c0_0 = vec4<f32>();
    var c1_0 = vec4<f32>();
    var c2_0 = vec4<f32>();
    var c3_0 = vec4<f32>();
    let a_along_depth = parameters.a_k == 1i;
    let a0_slot = i32(local) + 0i;
    let a0_depth = select(a0_slot / 16i, a0_slot % 16i, a_along_depth);
    let a0_vector = select(a0_slot % 16i, a0_slot / 16i, a_along_depth);
    let a0_index = row0 + a0_vector * 4i;
    let a0_outer0 = a_outer(batch, min(a0_index + 0i, parameters.m - 1i));
    let a0_outer1 = a_outer(batch, min(a0_index + 1i, parameters.m - 1i));
    let a0_outer2 = a_outer(batch, min(a0_index + 2i, parameters.m - 1i));
    let a0_outer3 = a_outer(batch, min(a0_index + 3i, parameters.m - 1i));
    var a0_values = vec4<f32>();
    let b_along_depth = parameters.b_k == 1i;
    let b0_slot = i32(local) + 0i;
    let b0_depth = select(b0_slot / 16i, b0_slot % 16i, b_along_depth);
    let b0_vector = select(b0_slot % 16i, b0_slot / 16i, b_along_depth);
    let b0_index = column0 + b0_vector * 4i;
    let b0_outer0 = b_outer(batch, min(b0_index + 0i, parameters.n - 1i));
    let b0_outer1 = b_outer(batch, min(b0_index + 1i, parameters.n - 1i));
    let b0_outer2 = b_outer(batch, min(b0_index + 2i, parameters.n - 1i));
    let b0_outer3 = b_outer(batch, min(b0_index + 3i, parameters.n - 1i));
    var b0_values = vec4<f32>();
    var k0 = 0i;
    a0_values = vec4<f32>();
    if (k0 + a0_depth < parameters.k) {
        let a0_at = a_depth(depth_place(k0 + a0_depth));
        a0_values = vec4<f32>(a_value(a0_outer0, a0_at), a_value(a0_outer1, a0_at), a_value(a0_outer2, a0_at), a_value(a0_outer3, a0_at));
    }
    b0_values = vec4<f32>();
    if (k0 + b0_depth < parameters.k) {
        let b0_at = b_depth(depth_place(k0 + b0_depth));
        b0_values = vec4<f32>(b_value(b0_outer0, b0_at), b_value(b0_outer1, b0_at), b_value(b0_outer2, b0_at), b_value(b0_outer3, b0_at));
    }
    for (; k0 < parameters.k;) {
        tile_a[a0_depth][a0_vector] = a0_values;
        tile_b[b0_depth][b0_vector] = b0_values;
        workgroupBarrier();
        k0 += 16i;
        a0_values = vec4<f32>();
        if (k0 + a0_depth < parameters.k) {
            let a0_at = a_depth(depth_place(k0 + a0_depth));
            a0_values = vec4<f32>(a_value(a0_outer0, a0_at), a_value(a0_outer1, a0_at), a_value(a0_outer2, a0_at), a_value(a0_outer3, a0_at));
        }
        b0_values = vec4<f32>();
        if (k0 + b0_depth < parameters.k) {
            let b0_at = b_depth(depth_place(k0 + b0_depth));
            b0_values = vec4<f32>(b_value(b0_outer0, b0_at), b_value(b0_outer1, b0_at), b_value(b0_outer2, b0_at), b_value(b0_outer3, b0_at));
        }
        {
            let a0 = tile_a[0][down + 0i];
            let b0 = tile_b[0][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[1][down + 0i];
            let b0 = tile_b[1][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[2][down + 0i];
            let b0 = tile_b[2][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[3][down + 0i];
            let b0 = tile_b[3][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[4][down + 0i];
            let b0 = tile_b[4][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[5][down + 0i];
            let b0 = tile_b[5][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[6][down + 0i];
            let b0 = tile_b[6][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[7][down + 0i];
            let b0 = tile_b[7][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[8][down + 0i];
            let b0 = tile_b[8][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[9][down + 0i];
            let b0 = tile_b[9][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[10][down + 0i];
            let b0 = tile_b[10][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[11][down + 0i];
            let b0 = tile_b[11][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[12][down + 0i];
            let b0 = tile_b[12][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[13][down + 0i];
            let b0 = tile_b[13][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[14][down + 0i];
            let b0 = tile_b[14][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        {
            let a0 = tile_a[15][down + 0i];
            let b0 = tile_b[15][across + 0i];
            c0_0 = fma(vec4<f32>(a0.x), b0, c0_0);
            c1_0 = fma(vec4<f32>(a0.y), b0, c1_0);
            c2_0 = fma(vec4<f32>(a0.z), b0, c2_0);
            c3_0 = fma(vec4<f32>(a0.w), b0, c3_0);
        }
        workgroupBarrier();
    }
    {
        let row = row0 + (down + 0i) * 4i + 0i;
        if (row < parameters.m) {
            if (column0 + (across + 0i) * 4i + 0i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 0i, c0_0.x); }
            if (column0 + (across + 0i) * 4i + 1i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 1i, c0_0.y); }
            if (column0 + (across + 0i) * 4i + 2i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 2i, c0_0.z); }
            if (column0 + (across + 0i) * 4i + 3i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 3i, c0_0.w); }
        }
    }
    {
        let row = row0 + (down + 0i) * 4i + 1i;
        if (row < parameters.m) {
            if (column0 + (across + 0i) * 4i + 0i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 0i, c1_0.x); }
            if (column0 + (across + 0i) * 4i + 1i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 1i, c1_0.y); }
            if (column0 + (across + 0i) * 4i + 2i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 2i, c1_0.z); }
            if (column0 + (across + 0i) * 4i + 3i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 3i, c1_0.w); }
        }
    }
    {
        let row = row0 + (down + 0i) * 4i + 2i;
        if (row < parameters.m) {
            if (column0 + (across + 0i) * 4i + 0i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 0i, c2_0.x); }
            if (column0 + (across + 0i) * 4i + 1i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 1i, c2_0.y); }
            if (column0 + (across + 0i) * 4i + 2i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 2i, c2_0.z); }
            if (column0 + (across + 0i) * 4i + 3i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 3i, c2_0.w); }
        }
    }
    {
        let row = row0 + (down + 0i) * 4i + 3i;
        if (row < parameters.m) {
            if (column0 + (across + 0i) * 4i + 0i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 0i, c3_0.x); }
            if (column0 + (across + 0i) * 4i + 1i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 1i, c3_0.y); }
            if (column0 + (across + 0i) * 4i + 2i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 2i, c3_0.z); }
            if (column0 + (across + 0i) * 4i + 3i < parameters.n) { store_out(batch, row, column0 + (across + 0i) * 4i + 3i, c3_0.w); }
        }
    }
}
