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
  %a9 = alloca <16 x float>
  %a10 = alloca <16 x float>
  %a39 = alloca <16 x float>
  %a40 = alloca <16 x float>
  %v1 = sub i64 %hi, %lo
  %v2 = and i64 %v1, -16
  %v3 = add i64 %lo, %v2
  br label %loop4
loop4:
  %i4 = phi i64 [ %lo, %entry ], [ %n4, %next4 ]
  %v5 = icmp slt i64 %i4, %v3
  br i1 %v5, label %body4, label %done4
body4:
  %v6 = insertelement <16 x i64> poison, i64 %i4, i64 0
  %v7 = shufflevector <16 x i64> %v6, <16 x i64> poison, <16 x i32> zeroinitializer
  %v8 = add nuw nsw <16 x i64> %v7, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  store <16 x float> splat (float 0x0000000000000000), ptr %a9
  br label %loop11
loop11:
  %i11 = phi i64 [ 0, %body4 ], [ %n11, %next11 ]
  %v12 = icmp slt i64 %i11, %p.r0_0_size
  br i1 %v12, label %body11, label %done11
body11:
  %v13 = add nuw nsw i64 %i11, 256
  %v14 = call i64 @llvm.smin.i64(i64 %v13, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a10
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
  %v21 = load <16 x float>, ptr %v20, align 4
  %v22 = load <16 x float>, ptr %a10
  %v23 = fadd contract <16 x float> %v22, %v21
  store <16 x float> %v23, ptr %a10
  br label %next15
next15:
  %n15 = add nuw nsw i64 %i15, 1
  br label %loop15
done15:
  %v24 = load <16 x float>, ptr %a10
  %v25 = load <16 x float>, ptr %a9
  %v26 = fadd contract <16 x float> %v25, %v24
  store <16 x float> %v26, ptr %a9
  br label %next11
next11:
  %n11 = add nuw nsw i64 %i11, 256
  br label %loop11
done11:
  %v27 = load <16 x float>, ptr %a9
  %v28 = add i64 %p.o1, %i4
  %v29 = getelementptr float, ptr %b.b1, i64 %v28
  store <16 x float> %v27, ptr %v29, align 4
  br label %next4
next4:
  %n4 = add nuw nsw i64 %i4, 16
  br label %loop4
done4:
  %v30 = sub i64 %v1, %v2
  %v31 = icmp ne i64 %v30, 0
  br i1 %v31, label %then32, label %end32
then32:
  %v33 = insertelement <16 x i64> poison, i64 %v30, i64 0
  %v34 = shufflevector <16 x i64> %v33, <16 x i64> poison, <16 x i32> zeroinitializer
  %v35 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v34
  %v36 = insertelement <16 x i64> poison, i64 %v3, i64 0
  %v37 = shufflevector <16 x i64> %v36, <16 x i64> poison, <16 x i32> zeroinitializer
  %v38 = add nuw nsw <16 x i64> %v37, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  store <16 x float> splat (float 0x0000000000000000), ptr %a39
  br label %loop41
loop41:
  %i41 = phi i64 [ 0, %then32 ], [ %n41, %next41 ]
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
  %v49 = add i64 %v48, %v3
  %v50 = getelementptr float, ptr %b.b0, i64 %v49
  %v51 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v50, i32 4, <16 x i1> %v35, <16 x float> zeroinitializer)
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
  %v58 = add i64 %p.o1, %v3
  %v59 = getelementptr float, ptr %b.b1, i64 %v58
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v57, ptr %v59, i32 4, <16 x i1> %v35)
  br label %end32
end32:
  ret void
}
