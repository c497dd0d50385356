define void @weft.sum_float32(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
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
  %v14 = getelementptr i64, ptr %parameters, i64 0
  %v15 = load i64, ptr %v14, align 8
  %v16 = getelementptr i64, ptr %parameters, i64 1
  %v17 = load i64, ptr %v16, align 8
  %v18 = getelementptr i64, ptr %parameters, i64 2
  %v19 = load i64, ptr %v18, align 8
  %v20 = getelementptr i64, ptr %parameters, i64 3
  %v21 = load i64, ptr %v20, align 8
  %v22 = getelementptr i64, ptr %parameters, i64 4
  %v23 = load i64, ptr %v22, align 8
  call void @part0(ptr %v11, ptr %v13, i64 %v15, i64 %v17, i64 %v19, i64 %v21, i64 %v23, i64 %v7, i64 %v8)
  br label %skip0
skip0:
  ret void
}

define internal void @part0(ptr noalias %b.b0, ptr noalias %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %lo, i64 %hi) nounwind {
entry:
  %v1 = mul nuw nsw i64 1, %p.r0_0_size
  %v2 = icmp sle i64 %v1, 256
  br i1 %v2, label %short, label %long
short:
  call void @part0.short(ptr %b.b0, ptr %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %lo, i64 %hi)
  ret void
long:
  call void @part0.long(ptr %b.b0, ptr %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %lo, i64 %hi)
  ret void
}

define internal void @part0.long(ptr noalias %b.b0, ptr noalias %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %lo, i64 %hi) noinline nounwind "prefer-vector-width"="256" "min-legal-vector-width"="0" {
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

define internal void @part0.short(ptr noalias %b.b0, ptr noalias %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %lo, i64 %hi) noinline nounwind {
entry:
  %a11 = alloca [16 x <16 x float>]
  %a15 = alloca <16 x float>
  %a16 = alloca <16 x float>
  %a17 = alloca <64 x float>
  %a18 = alloca <64 x float>
  %a165 = alloca <16 x float>
  br label %loop1
loop1:
  %i1 = phi i64 [ %lo, %entry ], [ %n1, %next1 ]
  %v2 = icmp slt i64 %i1, %hi
  br i1 %v2, label %body1, label %done1
body1:
  %v3 = sub i64 %hi, %i1
  %v4 = call i64 @llvm.smin.i64(i64 %v3, i64 16)
  %v5 = insertelement <16 x i64> poison, i64 %v4, i64 0
  %v6 = shufflevector <16 x i64> %v5, <16 x i64> poison, <16 x i32> zeroinitializer
  %v7 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v6
  %v8 = insertelement <16 x i64> poison, i64 %i1, i64 0
  %v9 = shufflevector <16 x i64> %v8, <16 x i64> poison, <16 x i32> zeroinitializer
  %v10 = add nuw nsw <16 x i64> %v9, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  br label %loop12
loop12:
  %i12 = phi i64 [ 0, %body1 ], [ %n12, %next12 ]
  %v13 = icmp slt i64 %i12, %v4
  br i1 %v13, label %body12, label %done12
body12:
  %v14 = add nuw nsw i64 %i1, %i12
  store <16 x float> splat (float 0x0000000000000000), ptr %a15
  store <64 x float> splat (float 0x0000000000000000), ptr %a17
  br label %loop19
loop19:
  %i19 = phi i64 [ 0, %body12 ], [ %n19, %next19 ]
  %v20 = icmp slt i64 %i19, %p.r0_0_size
  br i1 %v20, label %body19, label %done19
body19:
  %v21 = add nuw nsw i64 %i19, 4096
  %v22 = call i64 @llvm.smin.i64(i64 %v21, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a16
  store <64 x float> splat (float 0x0000000000000000), ptr %a18
  %v23 = sub i64 %v22, %i19
  %v24 = and i64 %v23, -64
  %v25 = add i64 %i19, %v24
  br label %loop26
loop26:
  %i26 = phi i64 [ %i19, %body19 ], [ %n26, %next26 ]
  %v27 = icmp slt i64 %i26, %v25
  br i1 %v27, label %body26, label %done26
body26:
  %v28 = insertelement <64 x i64> poison, i64 %i26, i64 0
  %v29 = shufflevector <64 x i64> %v28, <64 x i64> poison, <64 x i32> zeroinitializer
  %v30 = add nuw nsw <64 x i64> %v29, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15, i64 16, i64 17, i64 18, i64 19, i64 20, i64 21, i64 22, i64 23, i64 24, i64 25, i64 26, i64 27, i64 28, i64 29, i64 30, i64 31, i64 32, i64 33, i64 34, i64 35, i64 36, i64 37, i64 38, i64 39, i64 40, i64 41, i64 42, i64 43, i64 44, i64 45, i64 46, i64 47, i64 48, i64 49, i64 50, i64 51, i64 52, i64 53, i64 54, i64 55, i64 56, i64 57, i64 58, i64 59, i64 60, i64 61, i64 62, i64 63>
  %v31 = mul i64 %v14, %p.s0_0_0
  %v32 = add i64 %p.o0, %v31
  %v33 = add i64 %v32, %i26
  %v34 = getelementptr float, ptr %b.b0, i64 %v33
  %v35 = load <64 x float>, ptr %v34, align 4
  %v36 = load <64 x float>, ptr %a18
  %v37 = fadd contract <64 x float> %v36, %v35
  store <64 x float> %v37, ptr %a18
  br label %next26
next26:
  %n26 = add nuw nsw i64 %i26, 64
  br label %loop26
done26:
  %v38 = sub i64 %v23, %v24
  %v39 = sub i64 %v22, %v25
  %v40 = and i64 %v39, -16
  %v41 = add i64 %v25, %v40
  br label %loop42
loop42:
  %i42 = phi i64 [ %v25, %done26 ], [ %n42, %next42 ]
  %v43 = icmp slt i64 %i42, %v41
  br i1 %v43, label %body42, label %done42
body42:
  %v44 = insertelement <16 x i64> poison, i64 %i42, i64 0
  %v45 = shufflevector <16 x i64> %v44, <16 x i64> poison, <16 x i32> zeroinitializer
  %v46 = add nuw nsw <16 x i64> %v45, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v47 = mul i64 %v14, %p.s0_0_0
  %v48 = add i64 %p.o0, %v47
  %v49 = add i64 %v48, %i42
  %v50 = getelementptr float, ptr %b.b0, i64 %v49
  %v51 = load <16 x float>, ptr %v50, align 4
  %v52 = load <16 x float>, ptr %a16
  %v53 = fadd contract <16 x float> %v52, %v51
  store <16 x float> %v53, ptr %a16
  br label %next42
next42:
  %n42 = add nuw nsw i64 %i42, 16
  br label %loop42
done42:
  %v54 = sub i64 %v39, %v40
  %v55 = icmp ne i64 %v54, 0
  br i1 %v55, label %then56, label %end56
then56:
  %v57 = insertelement <16 x i64> poison, i64 %v54, i64 0
  %v58 = shufflevector <16 x i64> %v57, <16 x i64> poison, <16 x i32> zeroinitializer
  %v59 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v58
  %v60 = insertelement <16 x i64> poison, i64 %v41, i64 0
  %v61 = shufflevector <16 x i64> %v60, <16 x i64> poison, <16 x i32> zeroinitializer
  %v62 = add nuw nsw <16 x i64> %v61, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v63 = mul i64 %v14, %p.s0_0_0
  %v64 = add i64 %p.o0, %v63
  %v65 = add i64 %v64, %v41
  %v66 = getelementptr float, ptr %b.b0, i64 %v65
  %v67 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v66, i32 4, <16 x i1> %v59, <16 x float> zeroinitializer)
  %v68 = load <16 x float>, ptr %a16
  %v69 = fadd contract <16 x float> %v68, %v67
  %v70 = select <16 x i1> %v59, <16 x float> %v69, <16 x float> %v68
  store <16 x float> %v70, ptr %a16
  br label %end56
end56:
  %v71 = load <16 x float>, ptr %a16
  %v72 = load <16 x float>, ptr %a15
  %v73 = fadd contract <16 x float> %v72, %v71
  store <16 x float> %v73, ptr %a15
  %v74 = load <64 x float>, ptr %a18
  %v75 = load <64 x float>, ptr %a17
  %v76 = fadd contract <64 x float> %v75, %v74
  store <64 x float> %v76, ptr %a17
  br label %next19
next19:
  %n19 = add nuw nsw i64 %i19, 4096
  br label %loop19
done19:
  %v77 = load <64 x float>, ptr %a17
  %v78 = shufflevector <64 x float> %v77, <64 x float> poison, <32 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v79 = shufflevector <64 x float> %v77, <64 x float> poison, <32 x i32> <i32 32, i32 33, i32 34, i32 35, i32 36, i32 37, i32 38, i32 39, i32 40, i32 41, i32 42, i32 43, i32 44, i32 45, i32 46, i32 47, i32 48, i32 49, i32 50, i32 51, i32 52, i32 53, i32 54, i32 55, i32 56, i32 57, i32 58, i32 59, i32 60, i32 61, i32 62, i32 63>
  %v80 = fadd contract <32 x float> %v78, %v79
  %v81 = shufflevector <32 x float> %v80, <32 x float> poison, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v82 = shufflevector <32 x float> %v80, <32 x float> poison, <16 x i32> <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v83 = fadd contract <16 x float> %v81, %v82
  %v84 = load <16 x float>, ptr %a15
  %v85 = fadd contract <16 x float> %v84, %v83
  store <16 x float> %v85, ptr %a15
  %v86 = load <16 x float>, ptr %a15
  %v87 = getelementptr <16 x float>, ptr %a11, i64 %i12
  store <16 x float> %v86, ptr %v87
  br label %next12
next12:
  %n12 = add nuw nsw i64 %i12, 1
  br label %loop12
done12:
  %v88 = getelementptr <16 x float>, ptr %a11, i64 0
  %v89 = load <16 x float>, ptr %v88
  %v90 = getelementptr <16 x float>, ptr %a11, i64 1
  %v91 = load <16 x float>, ptr %v90
  %v92 = getelementptr <16 x float>, ptr %a11, i64 2
  %v93 = load <16 x float>, ptr %v92
  %v94 = getelementptr <16 x float>, ptr %a11, i64 3
  %v95 = load <16 x float>, ptr %v94
  %v96 = getelementptr <16 x float>, ptr %a11, i64 4
  %v97 = load <16 x float>, ptr %v96
  %v98 = getelementptr <16 x float>, ptr %a11, i64 5
  %v99 = load <16 x float>, ptr %v98
  %v100 = getelementptr <16 x float>, ptr %a11, i64 6
  %v101 = load <16 x float>, ptr %v100
  %v102 = getelementptr <16 x float>, ptr %a11, i64 7
  %v103 = load <16 x float>, ptr %v102
  %v104 = getelementptr <16 x float>, ptr %a11, i64 8
  %v105 = load <16 x float>, ptr %v104
  %v106 = getelementptr <16 x float>, ptr %a11, i64 9
  %v107 = load <16 x float>, ptr %v106
  %v108 = getelementptr <16 x float>, ptr %a11, i64 10
  %v109 = load <16 x float>, ptr %v108
  %v110 = getelementptr <16 x float>, ptr %a11, i64 11
  %v111 = load <16 x float>, ptr %v110
  %v112 = getelementptr <16 x float>, ptr %a11, i64 12
  %v113 = load <16 x float>, ptr %v112
  %v114 = getelementptr <16 x float>, ptr %a11, i64 13
  %v115 = load <16 x float>, ptr %v114
  %v116 = getelementptr <16 x float>, ptr %a11, i64 14
  %v117 = load <16 x float>, ptr %v116
  %v118 = getelementptr <16 x float>, ptr %a11, i64 15
  %v119 = load <16 x float>, ptr %v118
  %v120 = shufflevector <16 x float> %v89, <16 x float> %v91, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v121 = shufflevector <16 x float> %v93, <16 x float> %v95, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v122 = shufflevector <16 x float> %v97, <16 x float> %v99, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v123 = shufflevector <16 x float> %v101, <16 x float> %v103, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v124 = shufflevector <16 x float> %v105, <16 x float> %v107, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v125 = shufflevector <16 x float> %v109, <16 x float> %v111, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v126 = shufflevector <16 x float> %v113, <16 x float> %v115, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v127 = shufflevector <16 x float> %v117, <16 x float> %v119, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v128 = shufflevector <16 x float> %v89, <16 x float> %v91, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v129 = shufflevector <16 x float> %v93, <16 x float> %v95, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v130 = shufflevector <16 x float> %v97, <16 x float> %v99, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v131 = shufflevector <16 x float> %v101, <16 x float> %v103, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v132 = shufflevector <16 x float> %v105, <16 x float> %v107, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v133 = shufflevector <16 x float> %v109, <16 x float> %v111, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v134 = shufflevector <16 x float> %v113, <16 x float> %v115, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v135 = shufflevector <16 x float> %v117, <16 x float> %v119, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v136 = fadd contract <16 x float> %v120, %v128
  %v137 = fadd contract <16 x float> %v121, %v129
  %v138 = fadd contract <16 x float> %v122, %v130
  %v139 = fadd contract <16 x float> %v123, %v131
  %v140 = fadd contract <16 x float> %v124, %v132
  %v141 = fadd contract <16 x float> %v125, %v133
  %v142 = fadd contract <16 x float> %v126, %v134
  %v143 = fadd contract <16 x float> %v127, %v135
  %v144 = shufflevector <16 x float> %v136, <16 x float> %v137, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 8, i32 9, i32 10, i32 11, i32 16, i32 17, i32 18, i32 19, i32 24, i32 25, i32 26, i32 27>
  %v145 = shufflevector <16 x float> %v138, <16 x float> %v139, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 8, i32 9, i32 10, i32 11, i32 16, i32 17, i32 18, i32 19, i32 24, i32 25, i32 26, i32 27>
  %v146 = shufflevector <16 x float> %v140, <16 x float> %v141, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 8, i32 9, i32 10, i32 11, i32 16, i32 17, i32 18, i32 19, i32 24, i32 25, i32 26, i32 27>
  %v147 = shufflevector <16 x float> %v142, <16 x float> %v143, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 8, i32 9, i32 10, i32 11, i32 16, i32 17, i32 18, i32 19, i32 24, i32 25, i32 26, i32 27>
  %v148 = shufflevector <16 x float> %v136, <16 x float> %v137, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 12, i32 13, i32 14, i32 15, i32 20, i32 21, i32 22, i32 23, i32 28, i32 29, i32 30, i32 31>
  %v149 = shufflevector <16 x float> %v138, <16 x float> %v139, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 12, i32 13, i32 14, i32 15, i32 20, i32 21, i32 22, i32 23, i32 28, i32 29, i32 30, i32 31>
  %v150 = shufflevector <16 x float> %v140, <16 x float> %v141, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 12, i32 13, i32 14, i32 15, i32 20, i32 21, i32 22, i32 23, i32 28, i32 29, i32 30, i32 31>
  %v151 = shufflevector <16 x float> %v142, <16 x float> %v143, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 12, i32 13, i32 14, i32 15, i32 20, i32 21, i32 22, i32 23, i32 28, i32 29, i32 30, i32 31>
  %v152 = fadd contract <16 x float> %v144, %v148
  %v153 = fadd contract <16 x float> %v145, %v149
  %v154 = fadd contract <16 x float> %v146, %v150
  %v155 = fadd contract <16 x float> %v147, %v151
  %v156 = shufflevector <16 x float> %v152, <16 x float> %v153, <16 x i32> <i32 0, i32 1, i32 4, i32 5, i32 8, i32 9, i32 12, i32 13, i32 16, i32 17, i32 20, i32 21, i32 24, i32 25, i32 28, i32 29>
  %v157 = shufflevector <16 x float> %v154, <16 x float> %v155, <16 x i32> <i32 0, i32 1, i32 4, i32 5, i32 8, i32 9, i32 12, i32 13, i32 16, i32 17, i32 20, i32 21, i32 24, i32 25, i32 28, i32 29>
  %v158 = shufflevector <16 x float> %v152, <16 x float> %v153, <16 x i32> <i32 2, i32 3, i32 6, i32 7, i32 10, i32 11, i32 14, i32 15, i32 18, i32 19, i32 22, i32 23, i32 26, i32 27, i32 30, i32 31>
  %v159 = shufflevector <16 x float> %v154, <16 x float> %v155, <16 x i32> <i32 2, i32 3, i32 6, i32 7, i32 10, i32 11, i32 14, i32 15, i32 18, i32 19, i32 22, i32 23, i32 26, i32 27, i32 30, i32 31>
  %v160 = fadd contract <16 x float> %v156, %v158
  %v161 = fadd contract <16 x float> %v157, %v159
  %v162 = shufflevector <16 x float> %v160, <16 x float> %v161, <16 x i32> <i32 0, i32 2, i32 4, i32 6, i32 8, i32 10, i32 12, i32 14, i32 16, i32 18, i32 20, i32 22, i32 24, i32 26, i32 28, i32 30>
  %v163 = shufflevector <16 x float> %v160, <16 x float> %v161, <16 x i32> <i32 1, i32 3, i32 5, i32 7, i32 9, i32 11, i32 13, i32 15, i32 17, i32 19, i32 21, i32 23, i32 25, i32 27, i32 29, i32 31>
  %v164 = fadd contract <16 x float> %v162, %v163
  store <16 x float> %v164, ptr %a165
  %v166 = insertelement <16 x i64> poison, i64 %i1, i64 0
  %v167 = shufflevector <16 x i64> %v166, <16 x i64> poison, <16 x i32> zeroinitializer
  %v168 = add nuw nsw <16 x i64> %v167, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v169 = load <16 x float>, ptr %a165
  %v170 = add i64 %p.o1, %i1
  %v171 = getelementptr float, ptr %b.b1, i64 %v170
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v169, ptr %v171, i32 4, <16 x i1> %v7)
  br label %next1
next1:
  %n1 = add nuw nsw i64 %i1, 16
  br label %loop1
done1:
  ret void
}
