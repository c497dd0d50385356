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
  %a5 = alloca <64 x float>
  %a6 = alloca <64 x float>
  br label %loop1
loop1:
  %i1 = phi i64 [ %lo, %entry ], [ %n1, %next1 ]
  %v2 = icmp slt i64 %i1, %hi
  br i1 %v2, label %body1, label %done1
body1:
  store <16 x float> splat (float 0x0000000000000000), ptr %a3
  store <64 x float> splat (float 0x0000000000000000), ptr %a5
  br label %loop7
loop7:
  %i7 = phi i64 [ 0, %body1 ], [ %n7, %next7 ]
  %v8 = icmp slt i64 %i7, %p.r0_0_size
  br i1 %v8, label %body7, label %done7
body7:
  %v9 = add nuw nsw i64 %i7, 4096
  %v10 = call i64 @llvm.smin.i64(i64 %v9, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a4
  store <64 x float> splat (float 0x0000000000000000), ptr %a6
  %v11 = sub i64 %v10, %i7
  %v12 = and i64 %v11, -64
  %v13 = add i64 %i7, %v12
  br label %loop14
loop14:
  %i14 = phi i64 [ %i7, %body7 ], [ %n14, %next14 ]
  %v15 = icmp slt i64 %i14, %v13
  br i1 %v15, label %body14, label %done14
body14:
  %v16 = insertelement <64 x i64> poison, i64 %i14, i64 0
  %v17 = shufflevector <64 x i64> %v16, <64 x i64> poison, <64 x i32> zeroinitializer
  %v18 = add nuw nsw <64 x i64> %v17, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15, i64 16, i64 17, i64 18, i64 19, i64 20, i64 21, i64 22, i64 23, i64 24, i64 25, i64 26, i64 27, i64 28, i64 29, i64 30, i64 31, i64 32, i64 33, i64 34, i64 35, i64 36, i64 37, i64 38, i64 39, i64 40, i64 41, i64 42, i64 43, i64 44, i64 45, i64 46, i64 47, i64 48, i64 49, i64 50, i64 51, i64 52, i64 53, i64 54, i64 55, i64 56, i64 57, i64 58, i64 59, i64 60, i64 61, i64 62, i64 63>
  %v19 = mul i64 %i1, %p.s0_0_0
  %v20 = add i64 %p.o0, %v19
  %v21 = add i64 %v20, %i14
  %v22 = getelementptr float, ptr %b.b0, i64 %v21
  %v23 = load <64 x float>, ptr %v22, align 4
  %v24 = load <64 x float>, ptr %a6
  %v25 = fadd contract <64 x float> %v24, %v23
  store <64 x float> %v25, ptr %a6
  br label %next14
next14:
  %n14 = add nuw nsw i64 %i14, 64
  br label %loop14
done14:
  %v26 = sub i64 %v11, %v12
  %v27 = sub i64 %v10, %v13
  %v28 = and i64 %v27, -16
  %v29 = add i64 %v13, %v28
  br label %loop30
loop30:
  %i30 = phi i64 [ %v13, %done14 ], [ %n30, %next30 ]
  %v31 = icmp slt i64 %i30, %v29
  br i1 %v31, label %body30, label %done30
body30:
  %v32 = insertelement <16 x i64> poison, i64 %i30, i64 0
  %v33 = shufflevector <16 x i64> %v32, <16 x i64> poison, <16 x i32> zeroinitializer
  %v34 = add nuw nsw <16 x i64> %v33, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v35 = mul i64 %i1, %p.s0_0_0
  %v36 = add i64 %p.o0, %v35
  %v37 = add i64 %v36, %i30
  %v38 = getelementptr float, ptr %b.b0, i64 %v37
  %v39 = load <16 x float>, ptr %v38, align 4
  %v40 = load <16 x float>, ptr %a4
  %v41 = fadd contract <16 x float> %v40, %v39
  store <16 x float> %v41, ptr %a4
  br label %next30
next30:
  %n30 = add nuw nsw i64 %i30, 16
  br label %loop30
done30:
  %v42 = sub i64 %v27, %v28
  %v43 = icmp ne i64 %v42, 0
  br i1 %v43, label %then44, label %end44
then44:
  %v45 = insertelement <16 x i64> poison, i64 %v42, i64 0
  %v46 = shufflevector <16 x i64> %v45, <16 x i64> poison, <16 x i32> zeroinitializer
  %v47 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v46
  %v48 = insertelement <16 x i64> poison, i64 %v29, i64 0
  %v49 = shufflevector <16 x i64> %v48, <16 x i64> poison, <16 x i32> zeroinitializer
  %v50 = add nuw nsw <16 x i64> %v49, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v51 = mul i64 %i1, %p.s0_0_0
  %v52 = add i64 %p.o0, %v51
  %v53 = add i64 %v52, %v29
  %v54 = getelementptr float, ptr %b.b0, i64 %v53
  %v55 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v54, i32 4, <16 x i1> %v47, <16 x float> zeroinitializer)
  %v56 = load <16 x float>, ptr %a4
  %v57 = fadd contract <16 x float> %v56, %v55
  %v58 = select <16 x i1> %v47, <16 x float> %v57, <16 x float> %v56
  store <16 x float> %v58, ptr %a4
  br label %end44
end44:
  %v59 = load <16 x float>, ptr %a4
  %v60 = load <16 x float>, ptr %a3
  %v61 = fadd contract <16 x float> %v60, %v59
  store <16 x float> %v61, ptr %a3
  %v62 = load <64 x float>, ptr %a6
  %v63 = load <64 x float>, ptr %a5
  %v64 = fadd contract <64 x float> %v63, %v62
  store <64 x float> %v64, ptr %a5
  br label %next7
next7:
  %n7 = add nuw nsw i64 %i7, 4096
  br label %loop7
done7:
  %v65 = load <64 x float>, ptr %a5
  %v66 = shufflevector <64 x float> %v65, <64 x float> poison, <32 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v67 = shufflevector <64 x float> %v65, <64 x float> poison, <32 x i32> <i32 32, i32 33, i32 34, i32 35, i32 36, i32 37, i32 38, i32 39, i32 40, i32 41, i32 42, i32 43, i32 44, i32 45, i32 46, i32 47, i32 48, i32 49, i32 50, i32 51, i32 52, i32 53, i32 54, i32 55, i32 56, i32 57, i32 58, i32 59, i32 60, i32 61, i32 62, i32 63>
  %v68 = fadd contract <32 x float> %v66, %v67
  %v69 = shufflevector <32 x float> %v68, <32 x float> poison, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v70 = shufflevector <32 x float> %v68, <32 x float> poison, <16 x i32> <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v71 = fadd contract <16 x float> %v69, %v70
  %v72 = load <16 x float>, ptr %a3
  %v73 = fadd contract <16 x float> %v72, %v71
  store <16 x float> %v73, ptr %a3
  %v74 = load <16 x float>, ptr %a3
  %v75 = shufflevector <16 x float> %v74, <16 x float> poison, <8 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
  %v76 = shufflevector <16 x float> %v74, <16 x float> poison, <8 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v77 = fadd contract <8 x float> %v75, %v76
  %v78 = shufflevector <8 x float> %v77, <8 x float> poison, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
  %v79 = shufflevector <8 x float> %v77, <8 x float> poison, <4 x i32> <i32 4, i32 5, i32 6, i32 7>
  %v80 = fadd contract <4 x float> %v78, %v79
  %v81 = shufflevector <4 x float> %v80, <4 x float> poison, <2 x i32> <i32 0, i32 1>
  %v82 = shufflevector <4 x float> %v80, <4 x float> poison, <2 x i32> <i32 2, i32 3>
  %v83 = fadd contract <2 x float> %v81, %v82
  %v84 = extractelement <2 x float> %v83, i64 0
  %v85 = extractelement <2 x float> %v83, i64 1
  %v86 = fadd contract float %v84, %v85
  %v87 = add i64 %p.o1, %i1
  %v88 = getelementptr float, ptr %b.b1, i64 %v87
  store float %v86, ptr %v88, align 4
  br label %next1
next1:
  %n1 = add nuw nsw i64 %i1, 1
  br label %loop1
done1:
  ret void
}
