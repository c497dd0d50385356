"""Library kernels: the interface between the lowerings that call a library kernel and its templates.

The templates lie with their targets, in ``codegen.llvm.library`` and ``codegen.wgsl.library``. The tests compare each
with a derived form.

``matmul`` (buffers a, b, c; parameters in this order, all int64, strides in elements):
    ``batch0 batch1 m n k`` · ``a_offset a_b0 a_b1 a_m a_k`` · ``b_offset b_b0 b_b1 b_k b_n`` ·
    ``c_offset c_b0 c_b1 c_m c_n``; c[i, j] = sum over k of a[i, k] b[k, j] for every batch index.
    wgsl with option ``split`` (split-k): also ``splits chunk c_split``; c has a matrix for each chunk, to be summed.
``matvec`` (wgsl; option ``rows``; buffers matrix, vector, y; rows of 16-byte words):
    ``batch0 batch1 rows k`` · ``m_offset m_b0 m_b1 m_row`` · ``v_offset v_b0 v_b1`` · ``y_offset y_b0 y_b1 y_row``.
``conv2d`` (option ``kind``; contiguous NCHW x, OIHW w, NOHW y; parameters, all int64):
    ``n c h w o kh kw oh ow stride_h stride_w pad_h pad_w dilation_h dilation_w groups x_offset w_offset y_offset``
    ``kind="forward"`` buffers x, w, y: writes y. ``kind="input"`` buffers y, w, x: writes x, the gradient of the
    input. ``kind="weight"`` buffers y, x, w: writes w, the gradient of the weight.
    wgsl with option ``split``: also ``splits chunk piece``; the result lies in ``splits`` arrays, to be summed.
    llvm: a fourth buffer of scratch and ``rows channels images room jobs``; options ``step``, ``plain`` and ``many``;
    the gradient of the weight lies in ``jobs`` arrays of (groups, taps, O / groups), to be summed.
``winograd`` (llvm; options ``stage``, ``outputs``, ``taps``): see its module.
``attention`` (option ``form``: buffers and parameters by ``attentions.FORMS``; a mask comes after the other inputs;
    wgsl: ``tile``, ``size``, ``value_size``, ``causal``, ``mask``, ``fours``; llvm: ``causal``, ``mask``, ``unit``, a
    last buffer of scratch and ``size value_size jobs room pieces``).
``scan`` (options ``scan``, a row of ``scans.SCANS``; wgsl also ``form``, ``stage``, ``states``; buffers: inputs,
    carried totals, outputs): ``rows0 rows1 n`` · ``offset first s0 s1 sn`` of each buffer · wgsl's block
    forms: ``blocks``.
``sort`` (llvm; option ``descending``; buffers x, order and three of scratch): ``rows n x_offset``; order[r, i] is the
    position of the i-th element, in sorted order, of row r of contiguous x. ``radix`` (wgsl; option ``stage``):
    ``rows n blocks shift``.
``topk`` (llvm; option ``descending``; buffers x, order and one of scratch): ``rows n count x_offset``; the first
    ``count`` positions of that order.
"""
