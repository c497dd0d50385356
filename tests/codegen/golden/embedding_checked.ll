define void @weft.embedding(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
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
  %p.i0_1_size = load i64, ptr %v5, align 8
  %v6 = getelementptr i64, ptr %parameters, i64 2
  %p.o1 = load i64, ptr %v6, align 8
  %v7 = getelementptr i64, ptr %parameters, i64 3
  %p.rows = load i64, ptr %v7, align 8
  %v8 = getelementptr i64, ptr %parameters, i64 4
  %p.o0 = load i64, ptr %v8, align 8
  %v9 = getelementptr i64, ptr %parameters, i64 5
  %p.s0_0_0 = load i64, ptr %v9, align 8
  %v10 = getelementptr i64, ptr %parameters, i64 6
  %p.o2 = load i64, ptr %v10, align 8
  %v11 = getelementptr i64, ptr %parameters, i64 7
  %p.s0_2_0 = load i64, ptr %v11, align 8
  %v12 = getelementptr ptr, ptr %buffers, i64 3
  %status = load ptr, ptr %v12, align 8
  %v13 = getelementptr i64, ptr %parameters, i64 8
  %report = load i64, ptr %v13, align 8
  %v14 = mul nuw nsw i64 1, %p.i0_0_size
  %v15 = mul nuw nsw i64 %v14, %p.i0_1_size
  %v16 = add nuw nsw i64 0, %v15
  %v17 = call i64 @llvm.smax.i64(i64 %lo, i64 0)
  %v18 = call i64 @llvm.smin.i64(i64 %hi, i64 %v16)
  %v19 = sub i64 %v17, 0
  %v20 = sub i64 %v18, 0
  %v21 = icmp slt i64 %v17, %v18
  br i1 %v21, label %run0, label %skip0
run0:
  call void @part0(ptr %b.b0, ptr %b.b1, ptr %b.b2, i64 %p.i0_0_size, i64 %p.i0_1_size, i64 %p.o1, i64 %p.rows, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o2, i64 %p.s0_2_0, ptr %status, i64 %report, i64 %v19, i64 %v20)
  br label %skip0
skip0:
  ret void
}

define internal void @part0(ptr noalias %b.b0, ptr noalias %b.b1, ptr noalias %b.b2, i64 %p.i0_0_size, i64 %p.i0_1_size, i64 %p.o1, i64 %p.rows, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o2, i64 %p.s0_2_0, ptr %status, i64 %report, i64 %lo, i64 %hi) noinline nounwind "prefer-vector-width"="256" "min-legal-vector-width"="0" {
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
  %v15 = add i64 %p.o1, %i9
  %v16 = getelementptr i64, ptr %b.b0, i64 %v15
  %v17 = load i64, ptr %v16, align 8
  %v18 = icmp sge i64 %v17, 0
  %v19 = icmp slt i64 %v17, %p.rows
  %v20 = and i1 %v18, %v19
  %v21 = xor i1 %v20, true
  br i1 %v21, label %then22, label %end22
then22:
  call void @weft.report(ptr %status, i64 %report, i64 %v17)
  br label %end22
end22:
  br label %loop23
loop23:
  %i23 = phi i64 [ %v13, %end22 ], [ %n23, %next23 ]
  %v24 = icmp slt i64 %i23, %v14
  br i1 %v24, label %body23, label %done23
body23:
  %v25 = select i1 %v20, i64 %v17, i64 0
  %v26 = mul i64 %v25, %p.s0_0_0
  %v27 = add i64 %p.o0, %v26
  %v28 = add i64 %v27, %i23
  %v29 = getelementptr float, ptr %b.b1, i64 %v28
  %v30 = load float, ptr %v29, align 4
  %v31 = mul i64 %i9, %p.s0_2_0
  %v32 = add i64 %p.o2, %v31
  %v33 = add i64 %v32, %i23
  %v34 = getelementptr float, ptr %b.b2, i64 %v33
  store float %v30, ptr %v34, align 4
  br label %next23
next23:
  %n23 = add nuw nsw i64 %i23, 1
  br label %loop23, !llvm.loop !0
done23:
  br label %next9
next9:
  %n9 = add nuw nsw i64 %i9, 1
  br label %loop9
done9:
  ret void
}

define internal void @weft.report(ptr %status, i64 %report, i64 %value) noinline cold {
  %number = add i64 %report, 1
  %old = cmpxchg ptr %status, i64 0, i64 %number monotonic monotonic, align 8
  %first = extractvalue { i64, i1 } %old, 1
  br i1 %first, label %take, label %done
take:
  %second = getelementptr i64, ptr %status, i64 1
  store i64 %value, ptr %second, align 8
  br label %done
done:
  ret void
}

!0 = distinct !{!0, !1}
!1 = !{!"llvm.loop.interleave.count", i32 2}
!2 = distinct !{!2, !3}
!3 = !{!"llvm.loop.vectorize.enable", i1 false}
!4 = !{i32 1}
