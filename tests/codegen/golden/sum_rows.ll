define void @weft.sum_float32(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
entry:
  %v1 = getelementptr ptr, ptr %buffers, i64 0
  %b.b0 = load ptr, ptr %v1, align 8
  %v2 = getelementptr ptr, ptr %buffers, i64 1
  %b.b1 = load ptr, ptr %v2, align 8
  %v3 = getelementptr i64, ptr %parameters, i64 0
  %p.i0_0_size = load i64, ptr %v3, align 8
  %v4 = getelementptr i64, ptr %parameters, i64 1
  %p.r0_0_size = load i64, ptr %v4, align 8
  %v5 = getelementptr i64, ptr %parameters, i64 2
  %p.o0 = load i64, ptr %v5, align 8
  %v6 = getelementptr i64, ptr %parameters, i64 3
  %p.s0_0_0 = load i64, ptr %v6, align 8
  %v7 = getelementptr i64, ptr %parameters, i64 4
  %p.o1 = load i64, ptr %v7, align 8
  %v8 = mul nuw nsw i64 1, %p.i0_0_size
  %v9 = add nuw nsw i64 0, %v8
  %v10 = call i64 @llvm.smax.i64(i64 %lo, i64 0)
  %v11 = call i64 @llvm.smin.i64(i64 %hi, i64 %v9)
  %v12 = sub i64 %v10, 0
  %v13 = sub i64 %v11, 0
  %v14 = icmp slt i64 %v10, %v11
  br i1 %v14, label %run0, label %skip0
run0:
  call void @part0(ptr %b.b0, ptr %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %v12, i64 %v13)
  br label %skip0
skip0:
  ret void
}

define internal void @part0(ptr noalias %b.b0, ptr noalias %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %lo, i64 %hi) noinline nounwind {
entry:
  %a3 = alloca <16 x float>
  %a4 = alloca <16 x float>
  br label %loop1
loop1:
  %i1 = phi i64 [ %lo, %entry ], [ %n1, %next1 ]
  %v2 = icmp slt i64 %i1, %hi
  br i1 %v2, label %body1, label %done1
body1:
  store <16 x float> splat (float 0x0000000000000000), ptr %a3
  br label %loop5
loop5:
  %i5 = phi i64 [ 0, %body1 ], [ %n5, %next5 ]
  %v6 = icmp slt i64 %i5, %p.r0_0_size
  br i1 %v6, label %body5, label %done5
body5:
  %v7 = add nuw nsw i64 %i5, 4096
  %v8 = call i64 @llvm.smin.i64(i64 %v7, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a4
  %v9 = sub i64 %v8, %i5
  %v10 = and i64 %v9, -16
  %v11 = add i64 %i5, %v10
  br label %loop12
loop12:
  %i12 = phi i64 [ %i5, %body5 ], [ %n12, %next12 ]
  %v13 = icmp slt i64 %i12, %v11
  br i1 %v13, label %body12, label %done12
body12:
  %v14 = insertelement <16 x i64> poison, i64 %i12, i64 0
  %v15 = shufflevector <16 x i64> %v14, <16 x i64> poison, <16 x i32> zeroinitializer
  %v16 = add nuw nsw <16 x i64> %v15, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v17 = mul i64 %i1, %p.s0_0_0
  %v18 = add i64 %p.o0, %v17
  %v19 = add i64 %v18, %i12
  %v20 = getelementptr float, ptr %b.b0, i64 %v19
  %v21 = load <16 x float>, ptr %v20, align 4
  %v22 = load <16 x float>, ptr %a4
  %v23 = fadd contract <16 x float> %v22, %v21
  store <16 x float> %v23, ptr %a4
  br label %next12
next12:
  %n12 = add nuw nsw i64 %i12, 16
  br label %loop12
done12:
  %v24 = sub i64 %v9, %v10
  %v25 = icmp ne i64 %v24, 0
  br i1 %v25, label %then26, label %end26
then26:
  %v27 = insertelement <16 x i64> poison, i64 %v24, i64 0
  %v28 = shufflevector <16 x i64> %v27, <16 x i64> poison, <16 x i32> zeroinitializer
  %v29 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v28
  %v30 = insertelement <16 x i64> poison, i64 %v11, i64 0
  %v31 = shufflevector <16 x i64> %v30, <16 x i64> poison, <16 x i32> zeroinitializer
  %v32 = add nuw nsw <16 x i64> %v31, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v33 = mul i64 %i1, %p.s0_0_0
  %v34 = add i64 %p.o0, %v33
  %v35 = add i64 %v34, %v11
  %v36 = getelementptr float, ptr %b.b0, i64 %v35
  %v37 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v36, i32 4, <16 x i1> %v29, <16 x float> zeroinitializer)
  %v38 = load <16 x float>, ptr %a4
  %v39 = fadd contract <16 x float> %v38, %v37
  %v40 = select <16 x i1> %v29, <16 x float> %v39, <16 x float> %v38
  store <16 x float> %v40, ptr %a4
  br label %end26
end26:
  %v41 = load <16 x float>, ptr %a4
  %v42 = load <16 x float>, ptr %a3
  %v43 = fadd contract <16 x float> %v42, %v41
  store <16 x float> %v43, ptr %a3
  br label %next5
next5:
  %n5 = add nuw nsw i64 %i5, 4096
  br label %loop5
done5:
  %v44 = load <16 x float>, ptr %a3
  %v45 = shufflevector <16 x float> %v44, <16 x float> poison, <8 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
  %v46 = shufflevector <16 x float> %v44, <16 x float> poison, <8 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v47 = fadd contract <8 x float> %v45, %v46
  %v48 = shufflevector <8 x float> %v47, <8 x float> poison, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
  %v49 = shufflevector <8 x float> %v47, <8 x float> poison, <4 x i32> <i32 4, i32 5, i32 6, i32 7>
  %v50 = fadd contract <4 x float> %v48, %v49
  %v51 = shufflevector <4 x float> %v50, <4 x float> poison, <2 x i32> <i32 0, i32 1>
  %v52 = shufflevector <4 x float> %v50, <4 x float> poison, <2 x i32> <i32 2, i32 3>
  %v53 = fadd contract <2 x float> %v51, %v52
  %v54 = extractelement <2 x float> %v53, i64 0
  %v55 = extractelement <2 x float> %v53, i64 1
  %v56 = fadd contract float %v54, %v55
  %v57 = add i64 %p.o1, %i1
  %v58 = getelementptr float, ptr %b.b1, i64 %v57
  store float %v56, ptr %v58, align 4
  br label %next1
next1:
  %n1 = add nuw nsw i64 %i1, 1
  br label %loop1
done1:
  ret void
}
