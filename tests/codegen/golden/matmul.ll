define void @weft.matmul_float32(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
entry:
  %q.batch0 = getelementptr i64, ptr %parameters, i64 0
  %batch0 = load i64, ptr %q.batch0, align 8
  %q.batch1 = getelementptr i64, ptr %parameters, i64 1
  %batch1 = load i64, ptr %q.batch1, align 8
  %q.m = getelementptr i64, ptr %parameters, i64 2
  %m = load i64, ptr %q.m, align 8
  %q.n = getelementptr i64, ptr %parameters, i64 3
  %n = load i64, ptr %q.n, align 8
  %q.k = getelementptr i64, ptr %parameters, i64 4
  %k = load i64, ptr %q.k, align 8
  %q.a_offset = getelementptr i64, ptr %parameters, i64 5
  %a_offset = load i64, ptr %q.a_offset, align 8
  %q.a_b0 = getelementptr i64, ptr %parameters, i64 6
  %a_b0 = load i64, ptr %q.a_b0, align 8
  %q.a_b1 = getelementptr i64, ptr %parameters, i64 7
  %a_b1 = load i64, ptr %q.a_b1, align 8
  %q.a_m = getelementptr i64, ptr %parameters, i64 8
  %a_m = load i64, ptr %q.a_m, align 8
  %q.a_k = getelementptr i64, ptr %parameters, i64 9
  %a_k = load i64, ptr %q.a_k, align 8
  %q.b_offset = getelementptr i64, ptr %parameters, i64 10
  %b_offset = load i64, ptr %q.b_offset, align 8
  %q.b_b0 = getelementptr i64, ptr %parameters, i64 11
  %b_b0 = load i64, ptr %q.b_b0, align 8
  %q.b_b1 = getelementptr i64, ptr %parameters, i64 12
  %b_b1 = load i64, ptr %q.b_b1, align 8
  %q.b_k = getelementptr i64, ptr %parameters, i64 13
  %b_k = load i64, ptr %q.b_k, align 8
  %q.b_n = getelementptr i64, ptr %parameters, i64 14
  %b_n = load i64, ptr %q.b_n, align 8
  %q.c_offset = getelementptr i64, ptr %parameters, i64 15
  %c_offset = load i64, ptr %q.c_offset, align 8
  %q.c_b0 = getelementptr i64, ptr %parameters, i64 16
  %c_b0 = load i64, ptr %q.c_b0, align 8
  %q.c_b1 = getelementptr i64, ptr %parameters, i64 17
  %c_b1 = load i64, ptr %q.c_b1, align 8
  %q.c_m = getelementptr i64, ptr %parameters, i64 18
  %c_m = load i64, ptr %q.c_m, align 8
  %q.c_n = getelementptr i64, ptr %parameters, i64 19
  %c_n = load i64, ptr %q.c_n, align 8
  %r.a = getelementptr ptr, ptr %buffers, i64 0
  %base.a = load ptr, ptr %r.a, align 8
  %r.b = getelementptr ptr, ptr %buffers, i64 1
  %base.b = load ptr, ptr %r.b, align 8
  %r.c = getelementptr ptr, ptr %buffers, i64 2
  %base.c = load ptr, ptr %r.c, align 8
  %mn = mul i64 %m, %n
  %empty = icmp eq i64 %mn, 0
  %none = icmp sge i64 %lo, %hi
  %nothing = or i1 %empty, %none
  br i1 %nothing, label %done, label %begin
begin:
  %lines = call i64 @piece(i64 %m, i64 %n, i64 %k, i64 %batch0, i64 %batch1)
  %by.rows = icmp sge i64 %m, %n
  %largest = select i1 %by.rows, i64 %m, i64 %n
  %largest.1 = sub i64 %largest, 1
  %pieces.1 = udiv i64 %largest.1, %lines
  %pieces = add i64 %pieces.1, 1
  %c.line = select i1 %by.rows, i64 %c_m, i64 %c_n
  br label %batch
batch:
  %item = phi i64 [ %lo, %begin ], [ %following, %next ]
  %which = udiv i64 %item, %pieces
  %number = urem i64 %item, %pieces
  %i0 = udiv i64 %which, %batch1
  %i1 = urem i64 %which, %batch1
  %line = mul i64 %number, %lines
  %left = sub i64 %largest, %line
  %count = call i64 @llvm.smin.i64(i64 %left, i64 %lines)
  %row = select i1 %by.rows, i64 %line, i64 0
  %column = select i1 %by.rows, i64 0, i64 %line
  %rows = select i1 %by.rows, i64 %count, i64 %m
  %columns = select i1 %by.rows, i64 %n, i64 %count
  %t0.a = mul i64 %i0, %a_b0
  %t1.a = mul i64 %i1, %a_b1
  %t2.a = add i64 %t0.a, %t1.a
  %t3.a = add i64 %t2.a, %a_offset
  %t4.a = mul i64 %row, %a_m
  %t5.a = add i64 %t3.a, %t4.a
  %a = getelementptr float, ptr %base.a, i64 %t5.a
  %t0.b = mul i64 %i0, %b_b0
  %t1.b = mul i64 %i1, %b_b1
  %t2.b = add i64 %t0.b, %t1.b
  %t3.b = add i64 %t2.b, %b_offset
  %t4.b = mul i64 %column, %b_n
  %t5.b = add i64 %t3.b, %t4.b
  %b = getelementptr float, ptr %base.b, i64 %t5.b
  %t0.c = mul i64 %i0, %c_b0
  %t1.c = mul i64 %i1, %c_b1
  %t2.c = add i64 %t0.c, %t1.c
  %t3.c = add i64 %t2.c, %c_offset
  %t4.c = mul i64 %line, %c.line
  %t5.c = add i64 %t3.c, %t4.c
  %c = getelementptr float, ptr %base.c, i64 %t5.c
  %handled = call i1 @product(ptr %a, ptr %b, ptr %c, i64 %rows, i64 %columns, i64 %k, i64 %a_m, i64 %a_k, i64 %b_k, i64 %b_n, i64 %c_m, i64 %c_n)
  br i1 %handled, label %next, label %unsuited
unsuited:
  call void @loops(ptr %a, ptr %b, ptr %c, i64 %rows, i64 %columns, i64 %k, i64 %a_m, i64 %a_k, i64 %b_k, i64 %b_n, i64 %c_m, i64 %c_n)
  br label %next
next:
  %following = add nuw nsw i64 %item, 1
  %more = icmp slt i64 %following, %hi
  br i1 %more, label %batch, label %done
done:
  ret void
}

define internal i64 @piece(i64 %m, i64 %n, i64 %k, i64 %batch0, i64 %batch1) alwaysinline {
  %v1 = icmp sgt i64 %m, %n
  %v2 = icmp ne i64 %m, %m
  %v3 = or i1 %v1, %v2
  %v4 = select i1 %v3, i64 %m, i64 %n
  %v5 = icmp sgt i64 1, %v4
  %v6 = icmp ne i64 1, 1
  %v7 = or i1 %v5, %v6
  %v8 = select i1 %v7, i64 1, i64 %v4
  %v9 = mul i64 %m, %n
  %v10 = mul i64 %v9, %k
  %v11 = sdiv i64 %v10, 262144
  %v12 = sdiv i64 %v8, 128
  %v13 = sdiv i64 %v10, 4194304
  %v14 = icmp slt i64 %v12, %v13
  %v15 = icmp ne i64 %v12, %v12
  %v16 = or i1 %v14, %v15
  %v17 = select i1 %v16, i64 %v12, i64 %v13
  %v18 = icmp sgt i64 4, %v17
  %v19 = icmp ne i64 4, 4
  %v20 = or i1 %v18, %v19
  %v21 = select i1 %v20, i64 4, i64 %v17
  %v22 = icmp slt i64 %v11, %v21
  %v23 = icmp ne i64 %v11, %v11
  %v24 = or i1 %v22, %v23
  %v25 = select i1 %v24, i64 %v11, i64 %v21
  %v26 = mul i64 %batch0, %batch1
  %v27 = sdiv i64 %v26, 8
  %v28 = icmp sgt i64 1, %v27
  %v29 = or i1 %v28, %v6
  %v30 = select i1 %v29, i64 1, i64 %v27
  %v31 = icmp eq i64 %v30, 0
  %v32 = icmp eq i64 %v25, -9223372036854775808
  %v33 = icmp eq i64 %v30, -1
  %v34 = and i1 %v32, %v33
  %v35 = or i1 %v31, %v34
  %v36 = select i1 %v35, i64 1, i64 %v30
  %v37 = sdiv i64 %v25, %v36
  %v38 = icmp sgt i64 1, %v37
  %v39 = or i1 %v38, %v6
  %v40 = select i1 %v39, i64 1, i64 %v37
  %v41 = sub i64 %v40, 1
  %v42 = add i64 %v8, %v41
  %v43 = icmp eq i64 %v40, 0
  %v44 = icmp eq i64 %v42, -9223372036854775808
  %v45 = icmp eq i64 %v40, -1
  %v46 = and i1 %v44, %v45
  %v47 = or i1 %v43, %v46
  %v48 = select i1 %v47, i64 1, i64 %v40
  %v49 = sdiv i64 %v42, %v48
  %v50 = sub i64 16, 1
  %v51 = add i64 %v49, %v50
  %v52 = sdiv i64 %v51, 16
  %v53 = mul i64 %v52, 16
  ret i64 %v53
}
define internal void @loops(ptr noalias %a, ptr noalias %b, ptr noalias %c, i64 %m, i64 %n, i64 %k, i64 %a_m, i64 %a_k, i64 %b_k, i64 %b_n, i64 %c_m, i64 %c_n) noinline {
entry:
  br label %row
row:
  %i = phi i64 [ 0, %entry ], [ %i.next, %row.end ]
  %a.i = mul i64 %i, %a_m
  %c.i = mul i64 %i, %c_m
  br label %column
column:
  %j = phi i64 [ 0, %row ], [ %j.next, %column.end ]
  %b.j = mul i64 %j, %b_n
  %c.j = mul i64 %j, %c_n
  %c.at = add i64 %c.i, %c.j
  %c.p = getelementptr float, ptr %c, i64 %c.at
  br label %head
head:
  %l = phi i64 [ 0, %column ], [ %l.next, %body ]
  %sum = phi float [ 0.0, %column ], [ %sum.next, %body ]
  %again = icmp slt i64 %l, %k
  br i1 %again, label %body, label %column.end
body:
  %a.l = mul i64 %l, %a_k
  %a.at = add i64 %a.i, %a.l
  %a.p = getelementptr float, ptr %a, i64 %a.at
  %x = load float, ptr %a.p, align 4
  %b.l = mul i64 %l, %b_k
  %b.at = add i64 %b.j, %b.l
  %b.p = getelementptr float, ptr %b, i64 %b.at
  %y = load float, ptr %b.p, align 4
  %xy = fmul contract float %x, %y
  %sum.next = fadd contract float %sum, %xy
  %l.next = add nuw nsw i64 %l, 1
  br label %head
column.end:
  store float %sum, ptr %c.p, align 4
  %j.next = add nuw nsw i64 %j, 1
  %j.more = icmp slt i64 %j.next, %n
  br i1 %j.more, label %column, label %row.end
row.end:
  %i.next = add nuw nsw i64 %i, 1
  %i.more = icmp slt i64 %i.next, %m
  br i1 %i.more, label %row, label %done
done:
  ret void
}

define internal i64 @lines(i64 %rows, i64 %columns, i64 %row, i64 %column) alwaysinline {
  %unit = icmp eq i64 %column, 1
  %single = icmp sle i64 %columns, 1
  %dense = or i1 %unit, %single
  %least = call i64 @llvm.smax.i64(i64 %columns, i64 1)
  %one = icmp sle i64 %rows, 1
  %distance = select i1 %one, i64 %least, i64 %row
  %apart = icmp sge i64 %distance, %least
  %good = and i1 %dense, %apart
  %result = select i1 %good, i64 %distance, i64 0
  ret i64 %result
}

define internal i1 @product(ptr noalias %a, ptr noalias %b, ptr noalias %c, i64 %m, i64 %n, i64 %k, i64 %a_m, i64 %a_k, i64 %b_k, i64 %b_n, i64 %c_m, i64 %c_n) {
  %a.rows = call i64 @lines(i64 %m, i64 %k, i64 %a_m, i64 %a_k)
  %a.columns = call i64 @lines(i64 %k, i64 %m, i64 %a_k, i64 %a_m)
  %b.rows = call i64 @lines(i64 %k, i64 %n, i64 %b_k, i64 %b_n)
  %b.columns = call i64 @lines(i64 %n, i64 %k, i64 %b_n, i64 %b_k)
  %c.rows = call i64 @lines(i64 %m, i64 %n, i64 %c_m, i64 %c_n)
  %c.columns = call i64 @lines(i64 %n, i64 %m, i64 %c_n, i64 %c_m)
  %a.by.rows = icmp ne i64 %a.rows, 0
  %b.by.rows = icmp ne i64 %b.rows, 0
  %c.by.rows = icmp ne i64 %c.rows, 0
  %lda = select i1 %a.by.rows, i64 %a.rows, i64 %a.columns
  %ldb = select i1 %b.by.rows, i64 %b.rows, i64 %b.columns
  %ldc = select i1 %c.by.rows, i64 %c.rows, i64 %c.columns
  %a.good = icmp ne i64 %lda, 0
  %b.good = icmp ne i64 %ldb, 0
  %c.good = icmp ne i64 %ldc, 0
  %some = icmp sgt i64 %k, 0
  %m.n = or i64 %m, %n
  %k.lda = or i64 %k, %lda
  %ldb.ldc = or i64 %ldb, %ldc
  %m.n.k.lda = or i64 %m.n, %k.lda
  %all = or i64 %m.n.k.lda, %ldb.ldc
  %fit = icmp ult i64 %all, 2147483648
  %a.b.good = and i1 %a.good, %b.good
  %a.b.c.good = and i1 %a.b.good, %c.good
  %some.fit = and i1 %some, %fit
  %good = and i1 %a.b.c.good, %some.fit
  br i1 %good, label %call, label %done
call:
  %one.row = icmp eq i64 %m, 1
  %one.column = icmp eq i64 %n, 1
  %vector = or i1 %one.row, %one.column
  %x.step = select i1 %one.row, i64 %a_k, i64 %b_k
  %y.step = select i1 %one.row, i64 %c_n, i64 %c_m
  %x.less = sub i64 %x.step, 1
  %y.less = sub i64 %y.step, 1
  %x.moves = icmp ult i64 %x.less, 2147483647
  %y.moves = icmp ult i64 %y.less, 2147483647
  %moves = and i1 %x.moves, %y.moves
  %by.vector = and i1 %vector, %moves
  br i1 %by.vector, label %clear.head, label %matrix
clear.head:
  %outputs = mul i64 %m, %n
  br label %clear
clear:
  %i = phi i64 [ 0, %clear.head ], [ %i.next, %clear ]
  %c.i = mul i64 %i, %y.step
  %c.p = getelementptr float, ptr %c, i64 %c.i
  store float 0.0, ptr %c.p, align 4
  %i.next = add nuw nsw i64 %i, 1
  %i.more = icmp slt i64 %i.next, %outputs
  br i1 %i.more, label %clear, label %cleared
cleared:
  %lines.by.rows = select i1 %one.row, i1 %b.by.rows, i1 %a.by.rows
  %lines.order = select i1 %lines.by.rows, i32 101, i32 102
  %t = select i1 %one.row, i32 112, i32 111
  %rows = select i1 %one.row, i64 %k, i64 %m
  %columns = select i1 %one.row, i64 %n, i64 %k
  %lines.a = select i1 %one.row, ptr %b, ptr %a
  %lines.ld = select i1 %one.row, i64 %ldb, i64 %lda
  %x = select i1 %one.row, ptr %a, ptr %b
  call void @weft.sgemv(i32 %lines.order, i32 %t, i64 %rows, i64 %columns,
      float 1.0, ptr %lines.a, i64 %lines.ld, ptr %x, i64 %x.step, float 1.0, ptr %c, i64 %y.step)
  br label %done
matrix:
  %order = select i1 %c.by.rows, i32 101, i32 102
  %a.plain = icmp eq i1 %a.by.rows, %c.by.rows
  %b.plain = icmp eq i1 %b.by.rows, %c.by.rows
  %ta = select i1 %a.plain, i32 111, i32 112
  %tb = select i1 %b.plain, i32 111, i32 112
  call void @weft.sgemm(i32 %order, i32 %ta, i32 %tb, i64 %m, i64 %n, i64 %k,
      float 1.0, ptr %a, i64 %lda, ptr %b, i64 %ldb, float 0.0, ptr %c, i64 %ldc)
  br label %done
done:
  ret i1 %good
}

declare void @weft.sgemm(i32, i32, i32, i64, i64, i64, float, ptr, i64, ptr, i64, float, ptr, i64)
declare void @weft.sgemv(i32, i32, i64, i64, float, ptr, i64, ptr, i64, float, ptr, i64)
