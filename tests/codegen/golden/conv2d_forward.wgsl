// conv2d_forward_float32

struct Parameters {
    n: i32,
    c: i32,
    h: i32,
    w: i32,
    o: i32,
    kh: i32,
    kw: i32,
    oh: i32,
    ow: i32,
    stride_h: i32,
    stride_w: i32,
    pad_h: i32,
    pad_w: i32,
    dilation_h: i32,
    dilation_w: i32,
    groups: i32,
    x_offset: i32,
    w_offset: i32,
    y_offset: i32,
}
@group(1) @binding(0) var<uniform> parameters: Parameters;

@group(0) @binding(0) var<storage, read> x_data: array<f32>;
@group(0) @binding(1) var<storage, read> w_data: array<f32>;
@group(0) @binding(2) var<storage, read_write> y_data: array<f32>;

var<workgroup> tile_a: array<array<vec4<f32>, 16>, 16>;
var<workgroup> tile_b: array<array<vec4<f32>, 16>, 16>;

fn a_outer(batch: i32, index: i32) -> vec4<i32> {
    return vec4<i32>(parameters.w_offset + (batch * (parameters.o / parameters.groups) + index) * (parameters.c / parameters.groups) * parameters.kh * parameters.kw, 0i, 0i, 0i);
}

fn a_depth(at: vec4<i32>) -> vec4<i32> {
    return vec4<i32>(at.w, 0i, 0i, 0i);
}

fn a_value(outer: vec4<i32>, depth: vec4<i32>) -> f32 {
    let index = outer.x + depth.x;
    return w_data[index];
}

fn b_outer(batch: i32, index: i32) -> vec4<i32> {
    let at = vec3<i32>(index % parameters.ow, index / parameters.ow % parameters.oh, index / (parameters.ow * parameters.oh));
    return vec4<i32>(parameters.x_offset + (at.z * parameters.c + batch * (parameters.c / parameters.groups)) * parameters.h * parameters.w, at.y * parameters.stride_h - parameters.pad_h, at.x * parameters.stride_w - parameters.pad_w, 0i);
}

fn b_depth(at: vec4<i32>) -> vec4<i32> {
    return vec4<i32>(at.z * parameters.h * parameters.w, at.y * parameters.dilation_h, at.x * parameters.dilation_w, 0i);
}

fn b_value(outer: vec4<i32>, depth: vec4<i32>) -> f32 {
    let y = outer.y + depth.y;
    let x = outer.z + depth.z;
    if (y < 0i || y >= parameters.h || x < 0i || x >= parameters.w) {
        return f32();
    }
    let index = outer.x + depth.x + y * parameters.w + x;
    return x_data[index];
}

fn store_out(batch: i32, row: i32, column: i32, value: f32) {
    let image = column / (parameters.oh * parameters.ow);
    let index = parameters.y_offset + (image * parameters.o + batch * (parameters.o / parameters.groups) + row) * parameters.oh * parameters.ow + column % (parameters.oh * parameters.ow);
    y_data[index] = value;
}

fn depth_place(k: i32) -> vec4<i32> {
    return vec4<i32>(k % parameters.kw, k / parameters.kw % parameters.kh, k / (parameters.kw * parameters.kh), k);
}

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) workgroup_id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = i32(workgroup_id.y * workgroups.x + workgroup_id.x);
    let tile_columns = (((parameters.n * parameters.oh) * parameters.ow) + 63i) / 64i;
    let tile_rows = ((parameters.o / parameters.groups) + 63i) / 64i;
    let batch = group / (tile_rows * tile_columns);
    if (batch >= parameters.groups) {
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
    let a_along_depth = true;
    let a0_slot = i32(local) + 0i;
    let a0_depth = select(a0_slot / 16i, a0_slot % 16i, a_along_depth);
    let a0_vector = select(a0_slot % 16i, a0_slot / 16i, a_along_depth);
    let a0_index = row0 + a0_vector * 4i;
    let a0_outer0 = a_outer(batch, min(a0_index + 0i, (parameters.o / parameters.groups) - 1i));
    let a0_outer1 = a_outer(batch, min(a0_index + 1i, (parameters.o / parameters.groups) - 1i));
    let a0_outer2 = a_outer(batch, min(a0_index + 2i, (parameters.o / parameters.groups) - 1i));
    let a0_outer3 = a_outer(batch, min(a0_index + 3i, (parameters.o / parameters.groups) - 1i));
    var a0_values = vec4<f32>();
    let b_along_depth = false;
    let b0_slot = i32(local) + 0i;
    let b0_depth = select(b0_slot / 16i, b0_slot % 16i, b_along_depth);
    let b0_vector = select(b0_slot % 16i, b0_slot / 16i, b_along_depth);
    let b0_index = column0 + b0_vector * 4i;
    let b0_outer0 = b_outer(batch, min(b0_index + 0i, ((parameters.n * parameters.oh) * parameters.ow) - 1i));
    let b0_outer1 = b_outer(batch, min(b0_index + 1i, ((parameters.n * parameters.oh) * parameters.ow) - 1i));
    let b0_outer2 = b_outer(batch, min(b0_index + 2i, ((parameters.n * parameters.oh) * parameters.ow) - 1i));
    let b0_outer3 = b_outer(batch, min(b0_index + 3i, ((parameters.n * parameters.oh) * parameters.ow) - 1i));
    var b0_values = vec4<f32>();
    var k0 = 0i;
    a0_values = vec4<f32>();
    if (k0 + a0_depth < (((parameters.c / parameters.groups) * parameters.kh) * parameters.kw)) {
        let a0_at = a_depth(depth_place(k0 + a0_depth));
        a0_values = vec4<f32>(a_value(a0_outer0, a0_at), a_value(a0_outer1, a0_at), a_value(a0_outer2, a0_at), a_value(a0_outer3, a0_at));
    }
    b0_values = vec4<f32>();
    if (k0 + b0_depth < (((parameters.c / parameters.groups) * parameters.kh) * parameters.kw)) {
        let b0_at = b_depth(depth_place(k0 + b0_depth));
        b0_values = vec4<f32>(b_value(b0_outer0, b0_at), b_value(b0_outer1, b0_at), b_value(b0_outer2, b0_at), b_value(b0_outer3, b0_at));
    }
    for (; k0 < (((parameters.c / parameters.groups) * parameters.kh) * parameters.kw);) {
        tile_a[a0_depth][a0_vector] = a0_values;
        tile_b[b0_depth][b0_vector] = b0_values;
        workgroupBarrier();
        k0 += 16i;
        a0_values = vec4<f32>();
        if (k0 + a0_depth < (((parameters.c / parameters.groups) * parameters.kh) * parameters.kw)) {
            let a0_at = a_depth(depth_place(k0 + a0_depth));
            a0_values = vec4<f32>(a_value(a0_outer0, a0_at), a_value(a0_outer1, a0_at), a_value(a0_outer2, a0_at), a_value(a0_outer3, a0_at));
        }
        b0_values = vec4<f32>();
        if (k0 + b0_depth < (((parameters.c / parameters.groups) * parameters.kh) * parameters.kw)) {
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
        if (row < (parameters.o / parameters.groups)) {
            if (column0 + (across + 0i) * 4i + 0i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 0i, c0_0.x); }
            if (column0 + (across + 0i) * 4i + 1i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 1i, c0_0.y); }
            if (column0 + (across + 0i) * 4i + 2i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 2i, c0_0.z); }
            if (column0 + (across + 0i) * 4i + 3i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 3i, c0_0.w); }
        }
    }
    {
        let row = row0 + (down + 0i) * 4i + 1i;
        if (row < (parameters.o / parameters.groups)) {
            if (column0 + (across + 0i) * 4i + 0i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 0i, c1_0.x); }
            if (column0 + (across + 0i) * 4i + 1i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 1i, c1_0.y); }
            if (column0 + (across + 0i) * 4i + 2i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 2i, c1_0.z); }
            if (column0 + (across + 0i) * 4i + 3i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 3i, c1_0.w); }
        }
    }
    {
        let row = row0 + (down + 0i) * 4i + 2i;
        if (row < (parameters.o / parameters.groups)) {
            if (column0 + (across + 0i) * 4i + 0i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 0i, c2_0.x); }
            if (column0 + (across + 0i) * 4i + 1i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 1i, c2_0.y); }
            if (column0 + (across + 0i) * 4i + 2i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 2i, c2_0.z); }
            if (column0 + (across + 0i) * 4i + 3i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 3i, c2_0.w); }
        }
    }
    {
        let row = row0 + (down + 0i) * 4i + 3i;
        if (row < (parameters.o / parameters.groups)) {
            if (column0 + (across + 0i) * 4i + 0i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 0i, c3_0.x); }
            if (column0 + (across + 0i) * 4i + 1i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 1i, c3_0.y); }
            if (column0 + (across + 0i) * 4i + 2i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 2i, c3_0.z); }
            if (column0 + (across + 0i) * 4i + 3i < ((parameters.n * parameters.oh) * parameters.ow)) { store_out(batch, row, column0 + (across + 0i) * 4i + 3i, c3_0.w); }
        }
    }
}
