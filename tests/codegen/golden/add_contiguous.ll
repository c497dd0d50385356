define void @weft.add(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
entry:
  %v1 = getelementptr i64, ptr %parameters, i64 0
  %v2 = load i64, ptr %v1, align 8
  %v3 = mul nuw nsw i64 1, %v2
  %v4 = add nuw nsw i64 0, %v3
  %v5 = call i64 @llvm.smax.i64(i64 %lo, i64 0)
  %v6 = call i64 @llvm.smin.i64(i64 %hi, i64 %v4)
  %v7 = sub i64 %v5, 0
  %v8 = sub i64 %v6, 0
  %v9 = icmp slt i64 %v5, %v6
  br i1 %v9, label %run0, label %skip0
run0:
  %v10 = getelementptr ptr, ptr %buffers, i64 0
  %v11 = load ptr, ptr %v10, align 8
  %v12 = getelementptr ptr, ptr %buffers, i64 1
  %v13 = load ptr, ptr %v12, align 8
  %v14 = getelementptr ptr, ptr %buffers, i64 2
  %v15 = load ptr, ptr %v14, align 8
  %v16 = getelementptr i64, ptr %parameters, i64 0
  %v17 = load i64, ptr %v16, align 8
  %v18 = getelementptr i64, ptr %parameters, i64 1
  %v19 = load i64, ptr %v18, align 8
  %v20 = getelementptr i64, ptr %parameters, i64 2
  %v21 = load i64, ptr %v20, align 8
  %v22 = getelementptr i64, ptr %parameters, i64 3
  %v23 = load i64, ptr %v22, align 8
  call void @part0(ptr %v11, ptr %v13, ptr %v15, i64 %v17, i64 %v19, i64 %v21, i64 %v23, i64 %v7, i64 %v8)
  br label %skip0
skip0:
  ret void
}

define internal void @part0(ptr noalias %b.b0, ptr noalias %b.b1, ptr noalias %b.b2, i64 %p.i0_0_size, i64 %p.o0, i64 %p.o1, i64 %p.o2, i64 %lo, i64 %hi) noinline nounwind "prefer-vector-width"="256" "min-legal-vector-width"="0" {
entry:
  %a1 = alloca i64
  store i64 %lo, ptr %a1
  %v2 = call i64 @weft.cache()
  %v3 = udiv i64 %v2, 12
  %v4 = lshr i64 %v3, 2
  %v5 = add i64 %v3, %v4
  %v6 = icmp ugt i64 %p.i0_0_size, %v5
  br i1 %v6, label %then7, label %end7
then7:
  %v8 = add i64 %p.o2, %lo
  %v9 = ptrtoint ptr %b.b2 to i64
  %v10 = udiv i64 %v9, 4
  %v11 = add i64 %v10, %v8
  %v12 = sub i64 0, %v11
  %v13 = and i64 %v12, 15
  %v14 = add i64 %lo, %v13
  %v15 = call i64 @llvm.smin.i64(i64 %v14, i64 %hi)
  br label %loop16
loop16:
  %i16 = phi i64 [ %lo, %then7 ], [ %n16, %next16 ]
  %v17 = icmp slt i64 %i16, %v15
  br i1 %v17, label %body16, label %done16
body16:
  %v18 = add i64 %p.o0, %i16
  %v19 = getelementptr float, ptr %b.b0, i64 %v18
  %v20 = load float, ptr %v19, align 4
  %v21 = fmul contract float %v20, 0x4000000000000000
  %v22 = add i64 %p.o1, %i16
  %v23 = getelementptr float, ptr %b.b1, i64 %v22
  %v24 = load float, ptr %v23, align 4
  %v25 = fadd contract float %v21, %v24
  %v26 = add i64 %p.o2, %i16
  %v27 = getelementptr float, ptr %b.b2, i64 %v26
  store float %v25, ptr %v27, align 4
  br label %next16
next16:
  %n16 = add nuw nsw i64 %i16, 1
  br label %loop16, !llvm.loop !2
done16:
  %v28 = sub i64 %hi, %v15
  %v29 = and i64 %v28, -16
  %v30 = add i64 %v15, %v29
  br label %loop31
loop31:
  %i31 = phi i64 [ %v15, %done16 ], [ %n31, %next31 ]
  %v32 = icmp slt i64 %i31, %v30
  br i1 %v32, label %body31, label %done31
body31:
  %v33 = insertelement <16 x i64> poison, i64 %i31, i64 0
  %v34 = shufflevector <16 x i64> %v33, <16 x i64> poison, <16 x i32> zeroinitializer
  %v35 = add nuw nsw <16 x i64> %v34, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v36 = add i64 %p.o0, %i31
  %v37 = getelementptr float, ptr %b.b0, i64 %v36
  %v38 = load <16 x float>, ptr %v37, align 4
  %v39 = fmul contract <16 x float> %v38, splat (float 0x4000000000000000)
  %v40 = add i64 %p.o1, %i31
  %v41 = getelementptr float, ptr %b.b1, i64 %v40
  %v42 = load <16 x float>, ptr %v41, align 4
  %v43 = fadd contract <16 x float> %v39, %v42
  %v44 = add i64 %p.o2, %i31
  %v45 = getelementptr float, ptr %b.b2, i64 %v44
  store <16 x float> %v43, ptr %v45, align 64, !nontemporal !4
  br label %next31
next31:
  %n31 = add nuw nsw i64 %i31, 16
  br label %loop31
done31:
  %v46 = sub i64 %v28, %v29
  store i64 %v30, ptr %a1
  fence seq_cst
  br label %end7
end7:
  %v47 = load i64, ptr %a1
  br label %loop48
loop48:
  %i48 = phi i64 [ %v47, %end7 ], [ %n48, %next48 ]
  %v49 = icmp slt i64 %i48, %hi
  br i1 %v49, label %body48, label %done48
body48:
  %v50 = add i64 %p.o0, %i48
  %v51 = getelementptr float, ptr %b.b0, i64 %v50
  %v52 = load float, ptr %v51, align 4
  %v53 = fmul contract float %v52, 0x4000000000000000
  %v54 = add i64 %p.o1, %i48
  %v55 = getelementptr float, ptr %b.b1, i64 %v54
  %v56 = load float, ptr %v55, align 4
  %v57 = fadd contract float %v53, %v56
  %v58 = add i64 %p.o2, %i48
  %v59 = getelementptr float, ptr %b.b2, i64 %v58
  store float %v57, ptr %v59, align 4
  br label %next48
next48:
  %n48 = add nuw nsw i64 %i48, 1
  br label %loop48, !llvm.loop !0
done48:
  ret void
}

!0 = distinct !{!0, !1}
!1 = !{!"llvm.loop.interleave.count", i32 2}
!2 = distinct !{!2, !3}
!3 = !{!"llvm.loop.vectorize.enable", i1 false}
!4 = !{i32 1}

declare i64 @weft.cache()
