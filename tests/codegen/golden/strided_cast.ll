define void @weft.strided_cast(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
entry:
  %v1 = getelementptr i64, ptr %parameters, i64 0
  %v2 = load i64, ptr %v1, align 8
  %v3 = getelementptr i64, ptr %parameters, i64 1
  %v4 = load i64, ptr %v3, align 8
  %v5 = mul nuw nsw i64 1, %v2
  %v6 = mul nuw nsw i64 %v5, %v4
  %v7 = add nuw nsw i64 0, %v6
  %v8 = call i64 @llvm.smax.i64(i64 %lo, i64 0)
  %v9 = call i64 @llvm.smin.i64(i64 %hi, i64 %v7)
  %v10 = sub i64 %v8, 0
  %v11 = sub i64 %v9, 0
  %v12 = icmp slt i64 %v8, %v9
  br i1 %v12, label %run0, label %skip0
run0:
  %v13 = getelementptr ptr, ptr %buffers, i64 0
  %v14 = load ptr, ptr %v13, align 8
  %v15 = getelementptr ptr, ptr %buffers, i64 1
  %v16 = load ptr, ptr %v15, align 8
  %v17 = getelementptr i64, ptr %parameters, i64 0
  %v18 = load i64, ptr %v17, align 8
  %v19 = getelementptr i64, ptr %parameters, i64 1
  %v20 = load i64, ptr %v19, align 8
  %v21 = getelementptr i64, ptr %parameters, i64 2
  %v22 = load i64, ptr %v21, align 8
  %v23 = getelementptr i64, ptr %parameters, i64 3
  %v24 = load i64, ptr %v23, align 8
  %v25 = getelementptr i64, ptr %parameters, i64 4
  %v26 = load i64, ptr %v25, align 8
  %v27 = getelementptr i64, ptr %parameters, i64 5
  %v28 = load i64, ptr %v27, align 8
  %v29 = getelementptr i64, ptr %parameters, i64 6
  %v30 = load i64, ptr %v29, align 8
  call void @part0(ptr %v14, ptr %v16, i64 %v18, i64 %v20, i64 %v22, i64 %v24, i64 %v26, i64 %v28, i64 %v30, i64 %v10, i64 %v11)
  br label %skip0
skip0:
  ret void
}

define internal void @part0(ptr noalias %b.b0, ptr noalias %b.b1, i64 %p.i0_0_size, i64 %p.i0_1_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.s0_0_1, i64 %p.o1, i64 %p.s0_1_0, i64 %lo, i64 %hi) noinline nounwind "prefer-vector-width"="256" "min-legal-vector-width"="0" {
entry:
  %v1 = udiv i64 %lo, %p.i0_1_size
  %v2 = sub i64 %hi, 1
  %v3 = udiv i64 %v2, %p.i0_1_size
  %v4 = mul i64 %v1, %p.i0_1_size
  %v5 = sub i64 %lo, %v4
  %v6 = mul i64 %v3, %p.i0_1_size
  %v7 = sub i64 %hi, %v6
  %v8 = add nuw nsw i64 %v3, 1
  br label %loop9
loop9:
  %i9 = phi i64 [ %v1, %entry ], [ %n9, %next9 ]
  %v10 = icmp slt i64 %i9, %v8
  br i1 %v10, label %body9, label %done9
body9:
  %v11 = icmp eq i64 %i9, %v1
  %v12 = icmp eq i64 %i9, %v3
  %v13 = select i1 %v11, i64 %v5, i64 0
  %v14 = select i1 %v12, i64 %v7, i64 %p.i0_1_size
  br label %loop15
loop15:
  %i15 = phi i64 [ %v13, %body9 ], [ %n15, %next15 ]
  %v16 = icmp slt i64 %i15, %v14
  br i1 %v16, label %body15, label %done15
body15:
  %v17 = mul i64 %i9, %p.s0_0_0
  %v18 = add i64 %p.o0, %v17
  %v19 = mul i64 %i15, %p.s0_0_1
  %v20 = add i64 %v18, %v19
  %v21 = getelementptr i16, ptr %b.b0, i64 %v20
  %v22 = load i16, ptr %v21, align 2
  %v23 = zext i16 %v22 to i32
  %v24 = shl i32 %v23, 16
  %v25 = bitcast i32 %v24 to float
  %v26 = fptrunc float %v25 to half
  %v27 = bitcast half %v26 to i16
  %v28 = mul i64 %i9, %p.s0_1_0
  %v29 = add i64 %p.o1, %v28
  %v30 = add i64 %v29, %i15
  %v31 = getelementptr i16, ptr %b.b1, i64 %v30
  store i16 %v27, ptr %v31, align 2
  br label %next15
next15:
  %n15 = add nuw nsw i64 %i15, 1
  br label %loop15, !llvm.loop !0
done15:
  br label %next9
next9:
  %n9 = add nuw nsw i64 %i9, 1
  br label %loop9
done9:
  ret void
}

!0 = distinct !{!0, !1}
!1 = !{!"llvm.loop.interleave.count", i32 2}
!2 = distinct !{!2, !3}
!3 = !{!"llvm.loop.vectorize.enable", i1 false}
!4 = !{i32 1}
