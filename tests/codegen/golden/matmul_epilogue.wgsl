// matmul_float32_float32_float32_and_add_and_relu

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
@group(0) @binding(2) var<storage, read> e0: array<f32>;
@group(0) @binding(3) var<storage, read_write> e1: array<f32>;
@group(0) @binding(4) var<storage, read_write> e2: array<f32>;

fn weft_isnan(x_: f32) -> bool {
    return (bitcast<u32>(x_) & 2147483647u) > 2139095040u;
}

fn weft_maximum(x_: f32, y_: f32) -> f32 {
    return select(y_, x_, ((x_ > y_) | weft_isnan(x_)));
}

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
    let i0_1 = i32(u32(row) % u32(16i));
    let rest0 = u32(row) / u32(16i);
    let i0_0 = i32(rest0);
    let i0_2 = i32(u32(column));
    let t1 = ((i0_0 * 1120i) + (i0_1 * 70i)) + i0_2;
    let t2 = e0[i0_2];
    let t3 = value + t2;
    let t4 = ((i0_1 * 560i) + (i0_0 * 70i)) + i0_2;
    let t5 = weft_maximum(t3, 0.0f);
    e1[t1] = t3;
    e2[t4] = t5;
}

@compute @workgroup_size(64, 1, 1)
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
    let across = i32(local % 8u);
    let down = i32(local / 8u);
    var c0_0 = vec4<f32>();
    var c0_1 = vec4<f32>();
    var c1_0 = vec4<f32>();
    var c1_1 = vec4<f32>();
    var c2_0 = vec4<f32>();
    var c2_1 = vec4<f32>();
    var c3_0 = vec4<f32>();
    var c3_1 = vec4<f32>();
    var c4_0 = vec4<f32>();
    var c4_1 = vec4<f32>();
    var c5_0 = vec4<f32>();
    var c5_1 = vec4<f32>();
    var c6_0 = vec4<f32>();
    var c6_1 = vec4<f32>();
    var c7_0 = vec4<f32>();
    var c7_1 = vec4<f32>();
    if (row0 + down * 8i + 0i >= parameters.m || column0 + across * 8i + 0i >= parameters.n) {
        return;
    }
    let a_outer0 = a_outer(batch, min(row0 + down * 8i + 0i, parameters.m - 1i));
    let a_outer1 = a_outer(batch, min(row0 + down * 8i + 1i, parameters.m - 1i));
    let a_outer2 = a_outer(batch, min(row0 + down * 8i + 2i, parameters.m - 1i));
    let a_outer3 = a_outer(batch, min(row0 + down * 8i + 3i, parameters.m - 1i));
    let a_outer4 = a_outer(batch, min(row0 + down * 8i + 4i, parameters.m - 1i));
    let a_outer5 = a_outer(batch, min(row0 + down * 8i + 5i, parameters.m - 1i));
    let a_outer6 = a_outer(batch, min(row0 + down * 8i + 6i, parameters.m - 1i));
    let a_outer7 = a_outer(batch, min(row0 + down * 8i + 7i, parameters.m - 1i));
    let b_outer0 = b_outer(batch, min(column0 + across * 8i + 0i, parameters.n - 1i));
    let b_outer1 = b_outer(batch, min(column0 + across * 8i + 1i, parameters.n - 1i));
    let b_outer2 = b_outer(batch, min(column0 + across * 8i + 2i, parameters.n - 1i));
    let b_outer3 = b_outer(batch, min(column0 + across * 8i + 3i, parameters.n - 1i));
    let b_outer4 = b_outer(batch, min(column0 + across * 8i + 4i, parameters.n - 1i));
    let b_outer5 = b_outer(batch, min(column0 + across * 8i + 5i, parameters.n - 1i));
    let b_outer6 = b_outer(batch, min(column0 + across * 8i + 6i, parameters.n - 1i));
    let b_outer7 = b_outer(batch, min(column0 + across * 8i + 7i, parameters.n - 1i));
    var at = vec4<i32>();
    var k = 0i;
    for (; k + 3i < parameters.k; k += 4i) {
        {
            let a_at = a_depth(at);
            let b_at = b_depth(at);
            let a0 = a_value(a_outer0, a_at);
            let a1 = a_value(a_outer1, a_at);
            let a2 = a_value(a_outer2, a_at);
            let a3 = a_value(a_outer3, a_at);
            let a4 = a_value(a_outer4, a_at);
            let a5 = a_value(a_outer5, a_at);
            let a6 = a_value(a_outer6, a_at);
            let a7 = a_value(a_outer7, a_at);
            let b0 = vec4<f32>(b_value(b_outer0, b_at), b_value(b_outer1, b_at), b_value(b_outer2, b_at), b_value(b_outer3, b_at));
            let b1 = vec4<f32>(b_value(b_outer4, b_at), b_value(b_outer5, b_at), b_value(b_outer6, b_at), b_value(b_outer7, b_at));
            c0_0 = fma(vec4<f32>(a0), b0, c0_0);
            c0_1 = fma(vec4<f32>(a0), b1, c0_1);
            c1_0 = fma(vec4<f32>(a1), b0, c1_0);
            c1_1 = fma(vec4<f32>(a1), b1, c1_1);
            c2_0 = fma(vec4<f32>(a2), b0, c2_0);
            c2_1 = fma(vec4<f32>(a2), b1, c2_1);
            c3_0 = fma(vec4<f32>(a3), b0, c3_0);
            c3_1 = fma(vec4<f32>(a3), b1, c3_1);
            c4_0 = fma(vec4<f32>(a4), b0, c4_0);
            c4_1 = fma(vec4<f32>(a4), b1, c4_1);
            c5_0 = fma(vec4<f32>(a5), b0, c5_0);
            c5_1 = fma(vec4<f32>(a5), b1, c5_1);
            c6_0 = fma(vec4<f32>(a6), b0, c6_0);
            c6_1 = fma(vec4<f32>(a6), b1, c6_1);
            c7_0 = fma(vec4<f32>(a7), b0, c7_0);
            c7_1 = fma(vec4<f32>(a7), b1, c7_1);
            at += vec4<i32>(1i, 0i, 0i, 1i);
            at = select(at, vec4<i32>(0i, at.y + 1i, at.z, at.w), at.x == 1i);
            at = select(at, vec4<i32>(at.x, 0i, at.z + 1i, at.w), at.y == 1i);
        }
        {
            let a_at = a_depth(at);
            let b_at = b_depth(at);
            let a0 = a_value(a_outer0, a_at);
            let a1 = a_value(a_outer1, a_at);
            let a2 = a_value(a_outer2, a_at);
            let a3 = a_value(a_outer3, a_at);
            let a4 = a_value(a_outer4, a_at);
            let a5 = a_value(a_outer5, a_at);
            let a6 = a_value(a_outer6, a_at);
            let a7 = a_value(a_outer7, a_at);
            let b0 = vec4<f32>(b_value(b_outer0, b_at), b_value(b_outer1, b_at), b_value(b_outer2, b_at), b_value(b_outer3, b_at));
            let b1 = vec4<f32>(b_value(b_outer4, b_at), b_value(b_outer5, b_at), b_value(b_outer6, b_at), b_value(b_outer7, b_at));
            c0_0 = fma(vec4<f32>(a0), b0, c0_0);
            c0_1 = fma(vec4<f32>(a0), b1, c0_1);
            c1_0 = fma(vec4<f32>(a1), b0, c1_0);
            c1_1 = fma(vec4<f32>(a1), b1, c1_1);
            c2_0 = fma(vec4<f32>(a2), b0, c2_0);
            c2_1 = fma(vec4<f32>(a2), b1, c2_1);
            c3_0 = fma(vec4<f32>(a3), b0, c3_0);
            c3_1 = fma(vec4<f32>(a3), b1, c3_1);
            c4_0 = fma(vec4<f32>(a4), b0, c4_0);
            c4_1 = fma(vec4<f32>(a4), b1, c4_1);
            c5_0 = fma(vec4<f32>(a5), b0, c5_0);
            c5_1 = fma(vec4<f32>(a5), b1, c5_1);
            c6_0 = fma(vec4<f32>(a6), b0, c6_0);
            c6_1 = fma(vec4<f32>(a6), b1, c6_1);
            c7_0 = fma(vec4<f32>(a7), b0, c7_0);
            c7_1 = fma(vec4<f32>(a7), b1, c7_1);
            at += vec4<i32>(1i, 0i, 0i, 1i);
            at = select(at, vec4<i32>(0i, at.y + 1i, at.z, at.w), at.x == 1i);
            at = select(at, vec4<i32>(at.x, 0i, at.z + 1i, at.w), at.y == 1i);
        }
        {
            let a_at = a_depth(at);
            let b_at = b_depth(at);
            let a0 = a_value(a_outer0, a_at);
            let a1 = a_value(a_outer1, a_at);
            let a2 = a_value(a_outer2, a_at);
            let a3 = a_value(a_outer3, a_at);
            let a4 = a_value(a_outer4, a_at);
            let a5 = a_value(a_outer5, a_at);
            let a6 = a_value(a_outer6, a_at);
            let a7 = a_value(a_outer7, a_at);
            let b0 = vec4<f32>(b_value(b_outer0, b_at), b_value(b_outer1, b_at), b_value(b_outer2, b_at), b_value(b_outer3, b_at));
            let b1 = vec4<f32>(b_value(b_outer4, b_at), b_value(b_outer5, b_at), b_value(b_outer6, b_at), b_value(b_outer7, b_at));
            c0_0 = fma(vec4<f32>(a0), b0, c0_0);
            c0_1 = fma(vec4<f32>(a0), b1, c0_1);
            c1_0 = fma(vec4<f32>(a1), b0, c1_0);
            c1_1 = fma(vec4<f32>(a1), b1, c1_1);
            c2_0 = fma(vec4<f32>(a2), b0, c2_0);
            c2_1 = fma(vec4<f32>(a2), b1, c2_1);
            c3_0 = fma(vec4<f32>(a3), b0, c3_0);
            c3_1 = fma(vec4<f32>(a3), b1, c3_1);
            c4_0 = fma(vec4<f32>(a4), b0, c4_0);
            c4_1 = fma(vec4<f32>(a4), b1, c4_1);
            c5_0 = fma(vec4<f32>(a5), b0, c5_0);
            c5_1 = fma(vec4<f32>(a5), b1, c5_1);
            c6_0 = fma(vec4<f32>(a6), b0, c6_0);
            c6_1 = fma(vec4<f32>(a6), b1, c6_1);
            c7_0 = fma(vec4<f32>(a7), b0, c7_0);
            c7_1 = fma(vec4<f32>(a7), b1, c7_1);
            at += vec4<i32>(1i, 0i, 0i, 1i);
            at = select(at, vec4<i32>(0i, at.y + 1i, at.z, at.w), at.x == 1i);
            at = select(at, vec4<i32>(at.x, 0i, at.z + 1i, at.w), at.y == 1i);
        }
        {
            let a_at = a_depth(at);
            let b_at = b_depth(at);
            let a0 = a_value(a_outer0, a_at);
            let a1 = a_value(a_outer1, a_at);
            let a2 = a_value(a_outer2, a_at);
            let a3 = a_value(a_outer3, a_at);
            let a4 = a_value(a_outer4, a_at);
            let a5 = a_value(a_outer5, a_at);
            let a6 = a_value(a_outer6, a_at);
            let a7 = a_value(a_outer7, a_at);
            let b0 = vec4<f32>(b_value(b_outer0, b_at), b_value(b_outer1, b_at), b_value(b_outer2, b_at), b_value(b_outer3, b_at));
            let b1 = vec4<f32>(b_value(b_outer4, b_at), b_value(b_outer5, b_at), b_value(b_outer6, b_at), b_value(b_outer7, b_at));
            c0_0 = fma(vec4<f32>(a0), b0, c0_0);
            c0_1 = fma(vec4<f32>(a0), b1, c0_1);
            c1_0 = fma(vec4<f32>(a1), b0, c1_0);
            c1_1 = fma(vec4<f32>(a1), b1, c1_1);
            c2_0 = fma(vec4<f32>(a2), b0, c2_0);
            c2_1 = fma(vec4<f32>(a2), b1, c2_1);
            c3_0 = fma(vec4<f32>(a3), b0, c3_0);
            c3_1 = fma(vec4<f32>(a3), b1, c3_1);
            c4_0 = fma(vec4<f32>(a4), b0, c4_0);
            c4_1 = fma(vec4<f32>(a4), b1, c4_1);
            c5_0 = fma(vec4<f32>(a5), b0, c5_0);
            c5_1 = fma(vec4<f32>(a5), b1, c5_1);
            c6_0 = fma(vec4<f32>(a6), b0, c6_0);
            c6_1 = fma(vec4<f32>(a6), b1, c6_1);
            c7_0 = fma(vec4<f32>(a7), b0, c7_0);
            c7_1 = fma(vec4<f32>(a7), b1, c7_1);
            at += vec4<i32>(1i, 0i, 0i, 1i);
            at = select(at, vec4<i32>(0i, at.y + 1i, at.z, at.w), at.x == 1i);
            at = select(at, vec4<i32>(at.x, 0i, at.z + 1i, at.w), at.y == 1i);
        }
    }
    for (; k < parameters.k; k++) {
        let a_at = a_depth(at);
        let b_at = b_depth(at);
        let a0 = a_value(a_outer0, a_at);
        let a1 = a_value(a_outer1, a_at);
        let a2 = a_value(a_outer2, a_at);
        let a3 = a_value(a_outer3, a_at);
        let a4 = a_value(a_outer4, a_at);
        let a5 = a_value(a_outer5, a_at);
        let a6 = a_value(a_outer6, a_at);
        let a7 = a_value(a_outer7, a_at);
        let b0 = vec4<f32>(b_value(b_outer0, b_at), b_value(b_outer1, b_at), b_value(b_outer2, b_at), b_value(b_outer3, b_at));
        let b1 = vec4<f32>(b_value(b_outer4, b_at), b_value(b_outer5, b_at), b_value(b_outer6, b_at), b_value(b_outer7, b_at));
        c0_0 = fma(vec4<f32>(a0), b0, c0_0);
        c0_1 = fma(vec4<f32>(a0), b1, c0_1);
        c1_0 = fma(vec4<f32>(a1), b0, c1_0);
        c1_1 = fma(vec4<f32>(a1), b1, c1_1);
        c2_0 = fma(vec4<f32>(a2), b0, c2_0);
        c2_1 = fma(vec4<f32>(a2), b1, c2_1);
        c3_0 = fma(vec4<f32>(a3), b0, c3_0);
        c3_1 = fma(vec4<f32>(a3), b1, c3_1);
        c4_0 = fma(vec4<f32>(a4), b0, c4_0);
        c4_1 = fma(vec4<f32>(a4), b1, c4_1);
        c5_0 = fma(vec4<f32>(a5), b0, c5_0);
        c5_1 = fma(vec4<f32>(a5), b1, c5_1);
        c6_0 = fma(vec4<f32>(a6), b0, c6_0);
        c6_1 = fma(vec4<f32>(a6), b1, c6_1);
        c7_0 = fma(vec4<f32>(a7), b0, c7_0);
        c7_1 = fma(vec4<f32>(a7), b1, c7_1);
        at += vec4<i32>(1i, 0i, 0i, 1i);
        at = select(at, vec4<i32>(0i, at.y + 1i, at.z, at.w), at.x == 1i);
        at = select(at, vec4<i32>(at.x, 0i, at.z + 1i, at.w), at.y == 1i);
    }
    {
        let row = row0 + down * 8i + 0i;
        if (row < parameters.m) {
            if (column0 + across * 8i + 0i < parameters.n) { store_out(batch, row, column0 + across * 8i + 0i, c0_0.x); }
            if (column0 + across * 8i + 1i < parameters.n) { store_out(batch, row, column0 + across * 8i + 1i, c0_0.y); }
            if (column0 + across * 8i + 2i < parameters.n) { store_out(batch, row, column0 + across * 8i + 2i, c0_0.z); }
            if (column0 + across * 8i + 3i < parameters.n) { store_out(batch, row, column0 + across * 8i + 3i, c0_0.w); }
            if (column0 + across * 8i + 4i < parameters.n) { store_out(batch, row, column0 + across * 8i + 4i, c0_1.x); }
            if (column0 + across * 8i + 5i < parameters.n) { store_out(batch, row, column0 + across * 8i + 5i, c0_1.y); }
            if (column0 + across * 8i + 6i < parameters.n) { store_out(batch, row, column0 + across * 8i + 6i, c0_1.z); }
            if (column0 + across * 8i + 7i < parameters.n) { store_out(batch, row, column0 + across * 8i + 7i, c0_1.w); }
        }
    }
    {
        let row = row0 + down * 8i + 1i;
        if (row < parameters.m) {
            if (column0 + across * 8i + 0i < parameters.n) { store_out(batch, row, column0 + across * 8i + 0i, c1_0.x); }
            if (column0 + across * 8i + 1i < parameters.n) { store_out(batch, row, column0 + across * 8i + 1i, c1_0.y); }
            if (column0 + across * 8i + 2i < parameters.n) { store_out(batch, row, column0 + across * 8i + 2i, c1_0.z); }
            if (column0 + across * 8i + 3i < parameters.n) { store_out(batch, row, column0 + across * 8i + 3i, c1_0.w); }
            if (column0 + across * 8i + 4i < parameters.n) { store_out(batch, row, column0 + across * 8i + 4i, c1_1.x); }
            if (column0 + across * 8i + 5i < parameters.n) { store_out(batch, row, column0 + across * 8i + 5i, c1_1.y); }
            if (column0 + across * 8i + 6i < parameters.n) { store_out(batch, row, column0 + across * 8i + 6i, c1_1.z); }
            if (column0 + across * 8i + 7i < parameters.n) { store_out(batch, row, column0 + across * 8i + 7i, c1_1.w); }
        }
    }
    {
        let row = row0 + down * 8i + 2i;
        if (row < parameters.m) {
            if (column0 + across * 8i + 0i < parameters.n) { store_out(batch, row, column0 + across * 8i + 0i, c2_0.x); }
            if (column0 + across * 8i + 1i < parameters.n) { store_out(batch, row, column0 + across * 8i + 1i, c2_0.y); }
            if (column0 + across * 8i + 2i < parameters.n) { store_out(batch, row, column0 + across * 8i + 2i, c2_0.z); }
            if (column0 + across * 8i + 3i < parameters.n) { store_out(batch, row, column0 + across * 8i + 3i, c2_0.w); }
            if (column0 + across * 8i + 4i < parameters.n) { store_out(batch, row, column0 + across * 8i + 4i, c2_1.x); }
            if (column0 + across * 8i + 5i < parameters.n) { store_out(batch, row, column0 + across * 8i + 5i, c2_1.y); }
            if (column0 + across * 8i + 6i < parameters.n) { store_out(batch, row, column0 + across * 8i + 6i, c2_1.z); }
            if (column0 + across * 8i + 7i < parameters.n) { store_out(batch, row, column0 + across * 8i + 7i, c2_1.w); }
        }
    }
    {
        let row = row0 + down * 8i + 3i;
        if (row < parameters.m) {
            if (column0 + across * 8i + 0i < parameters.n) { store_out(batch, row, column0 + across * 8i + 0i, c3_0.x); }
            if (column0 + across * 8i + 1i < parameters.n) { store_out(batch, row, column0 + across * 8i + 1i, c3_0.y); }
            if (column0 + across * 8i + 2i < parameters.n) { store_out(batch, row, column0 + across * 8i + 2i, c3_0.z); }
            if (column0 + across * 8i + 3i < parameters.n) { store_out(batch, row, column0 + across * 8i + 3i, c3_0.w); }
            if (column0 + across * 8i + 4i < parameters.n) { store_out(batch, row, column0 + across * 8i + 4i, c3_1.x); }
            if (column0 + across * 8i + 5i < parameters.n) { store_out(batch, row, column0 + across * 8i + 5i, c3_1.y); }
            if (column0 + across * 8i + 6i < parameters.n) { store_out(batch, row, column0 + across * 8i + 6i, c3_1.z); }
            if (column0 + across * 8i + 7i < parameters.n) { store_out(batch, row, column0 + across * 8i + 7i, c3_1.w); }
        }
    }
    {
        let row = row0 + down * 8i + 4i;
        if (row < parameters.m) {
            if (column0 + across * 8i + 0i < parameters.n) { store_out(batch, row, column0 + across * 8i + 0i, c4_0.x); }
            if (column0 + across * 8i + 1i < parameters.n) { store_out(batch, row, column0 + across * 8i + 1i, c4_0.y); }
            if (column0 + across * 8i + 2i < parameters.n) { store_out(batch, row, column0 + across * 8i + 2i, c4_0.z); }
            if (column0 + across * 8i + 3i < parameters.n) { store_out(batch, row, column0 + across * 8i + 3i, c4_0.w); }
            if (column0 + across * 8i + 4i < parameters.n) { store_out(batch, row, column0 + across * 8i + 4i, c4_1.x); }
            if (column0 + across * 8i + 5i < parameters.n) { store_out(batch, row, column0 + across * 8i + 5i, c4_1.y); }
            if (column0 + across * 8i + 6i < parameters.n) { store_out(batch, row, column0 + across * 8i + 6i, c4_1.z); }
            if (column0 + across * 8i + 7i < parameters.n) { store_out(batch, row, column0 + across * 8i + 7i, c4_1.w); }
        }
    }
    {
        let row = row0 + down * 8i + 5i;
        if (row < parameters.m) {
            if (column0 + across * 8i + 0i < parameters.n) { store_out(batch, row, column0 + across * 8i + 0i, c5_0.x); }
            if (column0 + across * 8i + 1i < parameters.n) { store_out(batch, row, column0 + across * 8i + 1i, c5_0.y); }
            if (column0 + across * 8i + 2i < parameters.n) { store_out(batch, row, column0 + across * 8i + 2i, c5_0.z); }
            if (column0 + across * 8i + 3i < parameters.n) { store_out(batch, row, column0 + across * 8i + 3i, c5_0.w); }
            if (column0 + across * 8i + 4i < parameters.n) { store_out(batch, row, column0 + across * 8i + 4i, c5_1.x); }
            if (column0 + across * 8i + 5i < parameters.n) { store_out(batch, row, column0 + across * 8i + 5i, c5_1.y); }
            if (column0 + across * 8i + 6i < parameters.n) { store_out(batch, row, column0 + across * 8i + 6i, c5_1.z); }
            if (column0 + across * 8i + 7i < parameters.n) { store_out(batch, row, column0 + across * 8i + 7i, c5_1.w); }
        }
    }
    {
        let row = row0 + down * 8i + 6i;
        if (row < parameters.m) {
            if (column0 + across * 8i + 0i < parameters.n) { store_out(batch, row, column0 + across * 8i + 0i, c6_0.x); }
            if (column0 + across * 8i + 1i < parameters.n) { store_out(batch, row, column0 + across * 8i + 1i, c6_0.y); }
            if (column0 + across * 8i + 2i < parameters.n) { store_out(batch, row, column0 + across * 8i + 2i, c6_0.z); }
            if (column0 + across * 8i + 3i < parameters.n) { store_out(batch, row, column0 + across * 8i + 3i, c6_0.w); }
            if (column0 + across * 8i + 4i < parameters.n) { store_out(batch, row, column0 + across * 8i + 4i, c6_1.x); }
            if (column0 + across * 8i + 5i < parameters.n) { store_out(batch, row, column0 + across * 8i + 5i, c6_1.y); }
            if (column0 + across * 8i + 6i < parameters.n) { store_out(batch, row, column0 + across * 8i + 6i, c6_1.z); }
            if (column0 + across * 8i + 7i < parameters.n) { store_out(batch, row, column0 + across * 8i + 7i, c6_1.w); }
        }
    }
    {
        let row = row0 + down * 8i + 7i;
        if (row < parameters.m) {
            if (column0 + across * 8i + 0i < parameters.n) { store_out(batch, row, column0 + across * 8i + 0i, c7_0.x); }
            if (column0 + across * 8i + 1i < parameters.n) { store_out(batch, row, column0 + across * 8i + 1i, c7_0.y); }
            if (column0 + across * 8i + 2i < parameters.n) { store_out(batch, row, column0 + across * 8i + 2i, c7_0.z); }
            if (column0 + across * 8i + 3i < parameters.n) { store_out(batch, row, column0 + across * 8i + 3i, c7_0.w); }
            if (column0 + across * 8i + 4i < parameters.n) { store_out(batch, row, column0 + across * 8i + 4i, c7_1.x); }
            if (column0 + across * 8i + 5i < parameters.n) { store_out(batch, row, column0 + across * 8i + 5i, c7_1.y); }
            if (column0 + across * 8i + 6i < parameters.n) { store_out(batch, row, column0 + across * 8i + 6i, c7_1.z); }
            if (column0 + across * 8i + 7i < parameters.n) { store_out(batch, row, column0 + across * 8i + 7i, c7_1.w); }
        }
    }
}
