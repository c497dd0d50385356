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
  %a9 = alloca <64 x float>
  %a10 = alloca <64 x float>
  %a39 = alloca <16 x float>
  %a40 = alloca <16 x float>
  %a69 = alloca <16 x float>
  %a70 = alloca <16 x float>
  %v1 = sub i64 %hi, %lo
  %v2 = and i64 %v1, -64
  %v3 = add i64 %lo, %v2
  br label %loop4
loop4:
  %i4 = phi i64 [ %lo, %entry ], [ %n4, %next4 ]
  %v5 = icmp slt i64 %i4, %v3
  br i1 %v5, label %body4, label %done4
body4:
  %v6 = insertelement <64 x i64> poison, i64 %i4, i64 0
  %v7 = shufflevector <64 x i64> %v6, <64 x i64> poison, <64 x i32> zeroinitializer
  %v8 = add nuw nsw <64 x i64> %v7, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15, i64 16, i64 17, i64 18, i64 19, i64 20, i64 21, i64 22, i64 23, i64 24, i64 25, i64 26, i64 27, i64 28, i64 29, i64 30, i64 31, i64 32, i64 33, i64 34, i64 35, i64 36, i64 37, i64 38, i64 39, i64 40, i64 41, i64 42, i64 43, i64 44, i64 45, i64 46, i64 47, i64 48, i64 49, i64 50, i64 51, i64 52, i64 53, i64 54, i64 55, i64 56, i64 57, i64 58, i64 59, i64 60, i64 61, i64 62, i64 63>
  store <64 x float> splat (float 0x0000000000000000), ptr %a9
  br label %loop11
loop11:
  %i11 = phi i64 [ 0, %body4 ], [ %n11, %next11 ]
  %v12 = icmp slt i64 %i11, %p.r0_0_size
  br i1 %v12, label %body11, label %done11
body11:
  %v13 = add nuw nsw i64 %i11, 256
  %v14 = call i64 @llvm.smin.i64(i64 %v13, i64 %p.r0_0_size)
  store <64 x float> splat (float 0x0000000000000000), ptr %a10
  br label %loop15
loop15:
  %i15 = phi i64 [ %i11, %body11 ], [ %n15, %next15 ]
  %v16 = icmp slt i64 %i15, %v14
  br i1 %v16, label %body15, label %done15
body15:
  %v17 = mul i64 %i15, %p.s0_0_0
  %v18 = add i64 %p.o0, %v17
  %v19 = add i64 %v18, %i4
  %v20 = getelementptr float, ptr %b.b0, i64 %v19
  %v21 = load <64 x float>, ptr %v20, align 4
  %v22 = load <64 x float>, ptr %a10
  %v23 = fadd contract <64 x float> %v22, %v21
  store <64 x float> %v23, ptr %a10
  br label %next15
next15:
  %n15 = add nuw nsw i64 %i15, 1
  br label %loop15
done15:
  %v24 = load <64 x float>, ptr %a10
  %v25 = load <64 x float>, ptr %a9
  %v26 = fadd contract <64 x float> %v25, %v24
  store <64 x float> %v26, ptr %a9
  br label %next11
next11:
  %n11 = add nuw nsw i64 %i11, 256
  br label %loop11
done11:
  %v27 = load <64 x float>, ptr %a9
  %v28 = add i64 %p.o1, %i4
  %v29 = getelementptr float, ptr %b.b1, i64 %v28
  store <64 x float> %v27, ptr %v29, align 4
  br label %next4
next4:
  %n4 = add nuw nsw i64 %i4, 64
  br label %loop4
done4:
  %v30 = sub i64 %v1, %v2
  %v31 = sub i64 %hi, %v3
  %v32 = and i64 %v31, -16
  %v33 = add i64 %v3, %v32
  br label %loop34
loop34:
  %i34 = phi i64 [ %v3, %done4 ], [ %n34, %next34 ]
  %v35 = icmp slt i64 %i34, %v33
  br i1 %v35, label %body34, label %done34
body34:
  %v36 = insertelement <16 x i64> poison, i64 %i34, i64 0
  %v37 = shufflevector <16 x i64> %v36, <16 x i64> poison, <16 x i32> zeroinitializer
  %v38 = add nuw nsw <16 x i64> %v37, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  store <16 x float> splat (float 0x0000000000000000), ptr %a39
  br label %loop41
loop41:
  %i41 = phi i64 [ 0, %body34 ], [ %n41, %next41 ]
  %v42 = icmp slt i64 %i41, %p.r0_0_size
  br i1 %v42, label %body41, label %done41
body41:
  %v43 = add nuw nsw i64 %i41, 256
  %v44 = call i64 @llvm.smin.i64(i64 %v43, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a40
  br label %loop45
loop45:
  %i45 = phi i64 [ %i41, %body41 ], [ %n45, %next45 ]
  %v46 = icmp slt i64 %i45, %v44
  br i1 %v46, label %body45, label %done45
body45:
  %v47 = mul i64 %i45, %p.s0_0_0
  %v48 = add i64 %p.o0, %v47
  %v49 = add i64 %v48, %i34
  %v50 = getelementptr float, ptr %b.b0, i64 %v49
  %v51 = load <16 x float>, ptr %v50, align 4
  %v52 = load <16 x float>, ptr %a40
  %v53 = fadd contract <16 x float> %v52, %v51
  store <16 x float> %v53, ptr %a40
  br label %next45
next45:
  %n45 = add nuw nsw i64 %i45, 1
  br label %loop45
done45:
  %v54 = load <16 x float>, ptr %a40
  %v55 = load <16 x float>, ptr %a39
  %v56 = fadd contract <16 x float> %v55, %v54
  store <16 x float> %v56, ptr %a39
  br label %next41
next41:
  %n41 = add nuw nsw i64 %i41, 256
  br label %loop41
done41:
  %v57 = load <16 x float>, ptr %a39
  %v58 = add i64 %p.o1, %i34
  %v59 = getelementptr float, ptr %b.b1, i64 %v58
  store <16 x float> %v57, ptr %v59, align 4
  br label %next34
next34:
  %n34 = add nuw nsw i64 %i34, 16
  br label %loop34
done34:
  %v60 = sub i64 %v31, %v32
  %v61 = icmp ne i64 %v60, 0
  br i1 %v61, label %then62, label %end62
then62:
  %v63 = insertelement <16 x i64> poison, i64 %v60, i64 0
  %v64 = shufflevector <16 x i64> %v63, <16 x i64> poison, <16 x i32> zeroinitializer
  %v65 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v64
  %v66 = insertelement <16 x i64> poison, i64 %v33, i64 0
  %v67 = shufflevector <16 x i64> %v66, <16 x i64> poison, <16 x i32> zeroinitializer
  %v68 = add nuw nsw <16 x i64> %v67, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  store <16 x float> splat (float 0x0000000000000000), ptr %a69
  br label %loop71
loop71:
  %i71 = phi i64 [ 0, %then62 ], [ %n71, %next71 ]
  %v72 = icmp slt i64 %i71, %p.r0_0_size
  br i1 %v72, label %body71, label %done71
body71:
  %v73 = add nuw nsw i64 %i71, 256
  %v74 = call i64 @llvm.smin.i64(i64 %v73, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a70
  br label %loop75
loop75:
  %i75 = phi i64 [ %i71, %body71 ], [ %n75, %next75 ]
  %v76 = icmp slt i64 %i75, %v74
  br i1 %v76, label %body75, label %done75
body75:
  %v77 = mul i64 %i75, %p.s0_0_0
  %v78 = add i64 %p.o0, %v77
  %v79 = add i64 %v78, %v33
  %v80 = getelementptr float, ptr %b.b0, i64 %v79
  %v81 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v80, i32 4, <16 x i1> %v65, <16 x float> zeroinitializer)
  %v82 = load <16 x float>, ptr %a70
  %v83 = fadd contract <16 x float> %v82, %v81
  store <16 x float> %v83, ptr %a70
  br label %next75
next75:
  %n75 = add nuw nsw i64 %i75, 1
  br label %loop75
done75:
  %v84 = load <16 x float>, ptr %a70
  %v85 = load <16 x float>, ptr %a69
  %v86 = fadd contract <16 x float> %v85, %v84
  store <16 x float> %v86, ptr %a69
  br label %next71
next71:
  %n71 = add nuw nsw i64 %i71, 256
  br label %loop71
done71:
  %v87 = load <16 x float>, ptr %a69
  %v88 = add i64 %p.o1, %v33
  %v89 = getelementptr float, ptr %b.b1, i64 %v88
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v87, ptr %v89, i32 4, <16 x i1> %v65)
  br label %end62
end62:
  ret void
}
