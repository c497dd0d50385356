define void @weft.add(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
entry:
  %v1 = getelementptr ptr, ptr %buffers, i64 0
  %b.b0 = load ptr, ptr %v1, align 8
  %v2 = getelementptr ptr, ptr %buffers, i64 1
  %b.b1 = load ptr, ptr %v2, align 8
  %v3 = getelementptr ptr, ptr %buffers, i64 2
  %b.b2 = load ptr, ptr %v3, align 8
  %v4 = getelementptr i64, ptr %parameters, i64 0
  %p.i0_0_size = load i64, ptr %v4, align 8
  %v5 = getelementptr i64, ptr %parameters, i64 1
  %p.o0 = load i64, ptr %v5, align 8
  %v6 = getelementptr i64, ptr %parameters, i64 2
  %p.o1 = load i64, ptr %v6, align 8
  %v7 = getelementptr i64, ptr %parameters, i64 3
  %p.o2 = load i64, ptr %v7, align 8
  %v8 = mul nuw nsw i64 1, %p.i0_0_size
  %v9 = add nuw nsw i64 0, %v8
  %v10 = call i64 @llvm.smax.i64(i64 %lo, i64 0)
  %v11 = call i64 @llvm.smin.i64(i64 %hi, i64 %v9)
  %v12 = sub i64 %v10, 0
  %v13 = sub i64 %v11, 0
  %v14 = icmp slt i64 %v10, %v11
  br i1 %v14, label %run0, label %skip0
run0:
  call void @part0(ptr %b.b0, ptr %b.b1, ptr %b.b2, i64 %p.i0_0_size, i64 %p.o0, i64 %p.o1, i64 %p.o2, i64 %v12, i64 %v13)
  br label %skip0
skip0:
  ret void
}

define internal void @part0(ptr noalias %b.b0, ptr noalias %b.b1, ptr noalias %b.b2, i64 %p.i0_0_size, i64 %p.o0, i64 %p.o1, i64 %p.o2, i64 %lo, i64 %hi) noinline nounwind "prefer-vector-width"="256" {
entry:
  br label %loop1
loop1:
  %i1 = phi i64 [ %lo, %entry ], [ %n1, %next1 ]
  %v2 = icmp slt i64 %i1, %hi
  br i1 %v2, label %body1, label %done1
body1:
  %v3 = add i64 %p.o0, %i1
  %v4 = getelementptr float, ptr %b.b0, i64 %v3
  %v5 = load float, ptr %v4, align 4
  %v6 = fmul contract float %v5, 0x4000000000000000
  %v7 = add i64 %p.o1, %i1
  %v8 = getelementptr float, ptr %b.b1, i64 %v7
  %v9 = load float, ptr %v8, align 4
  %v10 = fadd contract float %v6, %v9
  %v11 = add i64 %p.o2, %i1
  %v12 = getelementptr float, ptr %b.b2, i64 %v11
  store float %v10, ptr %v12, align 4
  br label %next1
next1:
  %n1 = add nuw nsw i64 %i1, 1
  br label %loop1, !llvm.loop !0
done1:
  ret void
}

!0 = distinct !{!0, !1}
!1 = !{!"llvm.loop.interleave.count", i32 2}
