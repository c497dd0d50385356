define void @weft.embedding(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
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
  %v17 = getelementptr ptr, ptr %buffers, i64 2
  %v18 = load ptr, ptr %v17, align 8
  %v19 = getelementptr i64, ptr %parameters, i64 0
  %v20 = load i64, ptr %v19, align 8
  %v21 = getelementptr i64, ptr %parameters, i64 1
  %v22 = load i64, ptr %v21, align 8
  %v23 = getelementptr i64, ptr %parameters, i64 2
  %v24 = load i64, ptr %v23, align 8
  %v25 = getelementptr i64, ptr %parameters, i64 3
  %v26 = load i64, ptr %v25, align 8
  %v27 = getelementptr i64, ptr %parameters, i64 4
  %v28 = load i64, ptr %v27, align 8
  %v29 = getelementptr i64, ptr %parameters, i64 5
  %v30 = load i64, ptr %v29, align 8
  %v31 = getelementptr i64, ptr %parameters, i64 6
  %v32 = load i64, ptr %v31, align 8
  %v33 = getelementptr i64, ptr %parameters, i64 7
  %v34 = load i64, ptr %v33, align 8
  %v35 = getelementptr i64, ptr %parameters, i64 8
  %v36 = load i64, ptr %v35, align 8
  %v37 = getelementptr ptr, ptr %buffers, i64 3
  %v38 = load ptr, ptr %v37, align 8
  call void @part0(ptr %v14, ptr %v16, ptr %v18, i64 %v20, i64 %v22, i64 %v24, i64 %v26, i64 %v28, i64 %v30, i64 %v32, i64 %v34, ptr %v38, i64 %v36, i64 %v10, i64 %v11)
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
