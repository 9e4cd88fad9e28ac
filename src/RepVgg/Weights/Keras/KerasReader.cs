using RepVgg.Architectures;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Weights.Hdf5;
using RepVgg.Weights.Naming;

namespace RepVgg.Weights.Keras;

/// <summary>Reads the weights of a RepVGG that was trained with Keras, in the training form (convolutions and batch norms) or in the deploy form (convolutions with bias).</summary>
/// <remarks>
/// Keras' kernels are HWIO and become OIHW. The blocks are found from the order of the layers, see <see cref="KerasFile"/>: of each block, the identity's batch norm if there is one, the 3x3 convolution and its batch norm, the 1x1
/// convolution and its batch norm, and two 1x1 convolutions with bias if it has squeeze-and-excitation. TensorFlow pads the input of a convolution of stride 2 on one side only if its size is even
/// (<see cref="StageSpec.PaddingTop"/>), so that the architecture depends on the image size.
/// </remarks>
internal static class KerasReader
{
    /// <summary>Keras' default for what a batch norm adds to the variance.</summary>
    public const float DefaultEpsilon = 1e-3f;

    private const int SqueezeRatio = 16;

    /// <summary>Reads the weights.</summary>
    /// <param name="file">The file.</param>
    /// <param name="options">What the file does not say.</param>
    /// <exception cref="InvalidDataException">The file is damaged, or does not hold a RepVGG.</exception>
    public static OpenedWeights Open(ByteSource file, WeightsFileOptions options)
    {
        try
        {
            var keras = KerasFile.Open(file);
            return new KerasNetwork(keras, options).Read();
        }
        catch (Exception error) when (error is InvalidDataException or EndOfStreamException or ArgumentException)
        {
            throw new InvalidDataException($"{file.Name} is not a readable Keras file of a RepVGG: {MessageText.WithoutControls(MessageText.Reason(error))}.", error);
        }
    }

    /// <summary>Pads each strided stage as TensorFlow's 'same' does for images of a size: on one side only where the size of its input is even.</summary>
    public static RepVggArchitecture Padded(RepVggArchitecture architecture, int height, int width)
    {
        var stages = architecture.Stages.ToArray();
        for (int i = 0; i < stages.Length; i++)
        {
            int stride = stages[i].Stride;
            stages[i] = stages[i] with { PaddingTop = stride == 2 && height % 2 == 0 ? 0 : 1, PaddingLeft = stride == 2 && width % 2 == 0 ? 0 : 1 };
            (height, width) = (ConvolutionSize.OutputOfBlock(height, stride), ConvolutionSize.OutputOfBlock(width, stride));
        }
        return architecture with { Stages = [.. stages] };
    }

    /// <summary>The layers of one block.</summary>
    /// <param name="Dense">The 3x3 convolution.</param>
    /// <param name="Pointwise">The 1x1 convolution; null in the deploy form.</param>
    /// <param name="Squeeze">First layer of the squeeze-and-excitation, or null.</param>
    /// <param name="Excite">Second layer of the squeeze-and-excitation, or null.</param>
    private sealed record Block(KerasLayer Dense, KerasLayer? Pointwise, KerasLayer? Squeeze, KerasLayer? Excite)
    {
        public int Inputs { get; init; }

        public int Outputs => Dense.Kernel[3];

        public int Groups => Inputs / Dense.Kernel[2];

        public bool IsSquare => Inputs == Outputs;
    }

    private sealed class KerasNetwork
    {
        private readonly KerasFile _file;
        private readonly WeightsFileOptions _options;
        private readonly IReadOnlyList<KerasLayer> _convolutions, _norms;
        private readonly KerasLayer? _classifier;
        private readonly List<Block> _blocks = [];
        private readonly StateDict _state = new();
        private float _epsilon = DefaultEpsilon;

        public KerasNetwork(KerasFile file, WeightsFileOptions options)
        {
            (_file, _options) = (file, options);
            (_convolutions, _norms) = (file.LayersOf(KerasLayerKind.Convolution), file.LayersOf(KerasLayerKind.BatchNorm));
            var dense = file.LayersOf(KerasLayerKind.Dense);
            if (dense.Count > 1)
                throw new InvalidDataException($"it has {dense.Count} dense layers; a RepVGG has one, its classifier");
            _classifier = dense.FirstOrDefault();
        }

        private bool IsTraining => _norms.Count > 0;

        public OpenedWeights Read()
        {
            FindBlocks();
            bool[] identities = FindIdentities();
            var (strides, tellsStrides) = Strides(identities);
            var architecture = Architecture(identities, strides);
            var epsilons = Epsilons(out bool tellsEpsilon);
            if (IsTraining)
                architecture = architecture with { BatchNormEpsilon = _options.BatchNormEpsilon ?? _epsilon };
            var size = _file.Config?.ImageSize;
            if (size is { } known)
            {
                ArchitectureValidation.CheckImageSize(known.Height, known.Width);
                architecture = architecture with { DefaultImageSize = Math.Max(known.Height, known.Width) };
            }
            int height = _options.Height ?? size?.Height ?? architecture.DefaultImageSize, width = _options.Width ?? size?.Width ?? architecture.DefaultImageSize;
            CheckConfiguration();
            AddWeights(architecture, epsilons, _options.BatchNormEpsilon is null);
            return new OpenedWeights(_state, null)
            {
                Told = new ToldArchitecture(Padded(architecture, height, width), tellsStrides, tellsEpsilon, size)
                {
                    Epsilon = IsTraining ? WeightsAssumption.KerasEpsilon : null,
                    IsPaddedBySize = true,
                },
                Origin = $"{_file.Description}",
            };
        }

        /// <summary>Divides the convolutions among blocks.</summary>
        private void FindBlocks()
        {
            int inputs = 0;
            for (int i = 0; i < _convolutions.Count;)
            {
                var dense = _convolutions[i++];
                if (dense.Kernel is not [3, 3, > 0, > 0])
                    throw Unexpected(dense, "a 3x3 convolution, the first of a block");
                inputs = inputs == 0 ? dense.Kernel[2] : inputs;
                if (inputs % dense.Kernel[2] != 0)
                    throw Unexpected(dense, $"a 3x3 convolution of {inputs} input channels");
                KerasLayer? pointwise = null, squeeze = null, excite = null;
                int outputs = dense.Kernel[3];
                if (dense.Weights.ContainsKey("bias") == IsTraining)
                    throw new InvalidDataException($"its layer '{Name(dense)}' has {(IsTraining ? "a bias, which convolutions of the training form" : "no bias, which convolutions of the deploy form")} {(IsTraining ? "do not have" : "have")}");
                if (IsTraining)
                {
                    pointwise = i < _convolutions.Count ? _convolutions[i++] : null;
                    if (pointwise is null || !pointwise.Kernel.AsSpan().SequenceEqual([1, 1, dense.Kernel[2], outputs]) || pointwise.Weights.ContainsKey("bias"))
                        throw Unexpected(pointwise ?? dense, $"the 1x1 convolution of the block of '{Name(dense)}', without bias and with the same channels");
                }
                if (i < _convolutions.Count && _convolutions[i].Kernel is [1, 1, ..])
                {
                    (squeeze, excite) = (_convolutions[i], i + 1 < _convolutions.Count ? _convolutions[i + 1] : null);
                    i += 2;
                    int reduced = outputs / SqueezeRatio;
                    if (!squeeze.Kernel.AsSpan().SequenceEqual([1, 1, outputs, reduced]) || excite is null || !excite.Kernel.AsSpan().SequenceEqual([1, 1, reduced, outputs])
                        || !squeeze.Weights.ContainsKey("bias") || !excite.Weights.ContainsKey("bias"))
                    {
                        throw Unexpected(squeeze, $"the squeeze-and-excitation of {outputs} channels, two 1x1 convolutions with bias that reduce them by {SqueezeRatio}");
                    }
                }
                _blocks.Add(new Block(dense, pointwise, squeeze, excite) { Inputs = inputs });
                inputs = outputs;
            }
            if (_blocks.Count < 2)
                throw new InvalidDataException($"it has {_blocks.Count} blocks of 3x3 convolutions; a RepVGG has a stem and at least one stage");
            if (_blocks.Any(block => block.Squeeze is null != _blocks[0].Squeeze is null))
                throw new InvalidDataException("some of its blocks have squeeze-and-excitation and others do not");
        }

        /// <summary>Finds which blocks have an identity branch: those with three batch norms.</summary>
        private bool[] FindIdentities()
        {
            if (!IsTraining)
                return new bool[_blocks.Count];
            int identities = _norms.Count - 2 * _blocks.Count, candidates = _blocks.Count(block => block.IsSquare);
            if (identities < 0 || identities > candidates)
                throw new InvalidDataException($"it has {_norms.Count} batch norms and {_blocks.Count} blocks; a block has two, or three if its input and output have the same shape, which {candidates} can have");
            if (_file.NormsBetweenAdditions is { } counted && counted.Count == _blocks.Count && counted.All(count => count is 2 or 3))
                return Checked([.. counted.Select(count => count == 3)]);
            if (_options.Depths is not null)
                return Checked(LaterBlocks());
            if (identities == candidates)
                return [.. _blocks.Select(block => block.IsSquare)];
            if (_file.Config is { } config && config.OfClass("Conv2D").ToList() is var layers && layers.Count == _convolutions.Count)
            {
                var strides = layers.Select(layer => layer.Integer("strides") ?? 1).ToList();
                return Checked([.. _blocks.Select(block => block.IsSquare && strides[IndexOf(block.Dense)] == 1)]);
            }
            // The first blocks of stages have none. Without a configuration it is known only for the networks of the paper, and where all of them but one change the width, as usual between the stem and the first stage.
            foreach (var variant in RepVggVariants.All)
            {
                var shapes = variant.Blocks.ToList();
                if (variant.TrainingForm == TrainingForm.RepVgg && shapes.Count == _blocks.Count && shapes.Zip(_blocks).All(pair => pair.First.OutputChannels == pair.Second.Outputs) && shapes.Count(shape => shape.HasIdentity) == identities)
                    return [.. shapes.Select(shape => shape.HasIdentity)];
            }
            if (candidates - identities == 1 && _blocks[1].IsSquare)
                return [.. _blocks.Select((block, i) => block.IsSquare && i > 1)];
            throw new InvalidDataException("its weights do not tell where its stages begin, because stages that follow each other have the same width, and it has neither a list of layers nor a configuration; give the numbers of blocks of the stages (the option Depths), or save the whole model as .keras or .h5");

            bool[] Checked(bool[] found)
            {
                int wrong = Array.FindIndex(found, 0, identity => identity);
                for (; wrong >= 0 && _blocks[wrong].IsSquare; wrong = wrong + 1 < found.Length ? Array.FindIndex(found, wrong + 1, identity => identity) : -1)
                {
                }
                if (wrong >= 0)
                    throw new InvalidDataException($"the block of its layer '{Name(_blocks[wrong].Dense)}' has three batch norms, but {_blocks[wrong].Inputs} input and {_blocks[wrong].Outputs} output channels, so that it cannot have an identity branch");
                return found.Count(identity => identity) == identities ? found : throw new InvalidDataException($"it has {_norms.Count} batch norms, which are not those of {_blocks.Count} blocks with {found.Count(identity => identity)} identity branches");
            }
        }

        /// <summary>Which blocks are not the first of their stage, by the option Depths.</summary>
        private bool[] LaterBlocks()
        {
            bool[] later = [.. _options.Depths!.SelectMany(depth => Enumerable.Range(0, depth).Select(i => i > 0))];
            return later.Length == _blocks.Count ? later : throw new InvalidDataException($"the option Depths has {later.Length} blocks in all, and the file has {_blocks.Count}");
        }

        /// <summary>Gets the strides of the blocks, from the configuration if there is one.</summary>
        private (int?[] Strides, bool AreTold) Strides(bool[] identities)
        {
            if (_file.Config is not { } config)
            {
                // The deploy form has no batch norms, whose number tells where stages begin.
                if (IsTraining)
                    return ([.. identities.Select(identity => identity ? 1 : (int?)null)], false);
                if (_options.Depths is not null)
                    return ([.. LaterBlocks().Select(isLater => isLater ? 1 : (int?)null)], false);
                bool isVariant = RepVggVariants.All.Any(variant => variant.Blocks.Select(shape => shape.OutputChannels).SequenceEqual(_blocks.Select(block => block.Outputs)));
                return isVariant ? (new int?[_blocks.Count], false) : throw new InvalidDataException("weights of the deploy form do not tell where its stages begin, and the network is not a variant of the paper; give the numbers of blocks of the stages (the option Depths), or save the whole model as .keras or .h5");
            }
            var layers = ConfigOf(config, "Conv2D", _convolutions);
            var strides = new int?[_blocks.Count];
            foreach (var (i, block) in _blocks.Index())
            {
                strides[i] = layers[IndexOf(block.Dense)].Integer("strides") ?? 1;
                if (block.Pointwise is { } pointwise && (layers[IndexOf(pointwise)].Integer("strides") ?? 1) != strides[i])
                    throw new InvalidDataException($"its layers '{Name(block.Dense)}' and '{Name(pointwise)}' of one block have different strides");
                if (strides[i] is not (1 or 2))
                    throw new InvalidDataException($"its layer '{Name(block.Dense)}' has the stride {strides[i]}; a block has 1 or 2");
            }
            return (strides, true);
        }

        private RepVggArchitecture Architecture(bool[] identities, int?[] strides)
        {
            var position = _blocks[0].Squeeze is null ? SqueezeExcitation.None : SqueezeExcitation.BeforeRelu;
            FoundBlock[] found = [.. _blocks.Select((block, i) => new FoundBlock(block.Inputs, block.Outputs, block.Groups) { Stride = strides[i], HasIdentity = IsTraining ? identities[i] : null })];
            var network = new FoundNetwork(found, position) { Form = IsTraining ? TrainingForm.RepVgg : null };
            var architecture = ArchitectureInference.Infer(network);
            if (_options.Strides is { } given && strides.Any(stride => stride is null))
            {
                if (given.Count != architecture.Stages.Length)
                    throw new InvalidDataException($"the option Strides has {given.Count} strides for {architecture.Stages.Length} stages");
                architecture = architecture with { Stages = [.. architecture.Stages.Select((stage, i) => stage with { Stride = given[i] })] };
            }
            return network.Fits(architecture) ? architecture : throw new InvalidDataException("its blocks are not those of a RepVGG: their widths, groups or identity branches do not form stages");
        }

        /// <summary>Reads the epsilon of each batch norm. The network has that of the first one.</summary>
        private double[] Epsilons(out bool areTold)
        {
            areTold = _file.Config is not null;
            if (!IsTraining || _file.Config is not { } config)
                return [];
            double[] epsilons = [.. ConfigOf(config, "BatchNormalization", _norms).Select(layer => layer.Number("epsilon") ?? DefaultEpsilon)];
            if (epsilons.FirstOrDefault(epsilon => !(epsilon > 0) || !double.IsFinite(epsilon)) is not 0 and var invalid)
                throw new InvalidDataException(FormattableString.Invariant($"a batch norm of its configuration has the epsilon {invalid}, which must be more than 0"));
            _epsilon = (float)epsilons[0];
            return epsilons;
        }

        /// <summary>Checks that layers do nothing that a RepVGG does not do.</summary>
        private void CheckConfiguration()
        {
            if (_file.Config is not { } config)
                return;
            var layers = ConfigOf(config, "Conv2D", _convolutions);
            foreach (var block in _blocks)
            {
                foreach (var convolution in new[] { block.Dense, block.Pointwise })
                {
                    if (convolution is null)
                        continue;
                    var layer = layers[IndexOf(convolution)];
                    bool isPadded = convolution.Kernel[0] == 1 || layer.Text("padding") is null or "same";
                    if (!isPadded || (layer.Integer("dilation_rate") ?? 1) != 1 || layer.Text("activation") is not (null or "linear"))
                        throw new InvalidDataException($"its layer '{Name(convolution)}' has the padding '{layer.Text("padding")}', the dilation {layer.Integer("dilation_rate")} and the activation '{layer.Text("activation")}'; a block of RepVGG has 'same', 1 and 'linear'");
                    if (layer.Integer("groups") is { } groups && groups != block.Groups)
                        throw new InvalidDataException($"its layer '{Name(convolution)}' has {groups} groups in the configuration and {block.Groups} in its kernel");
                }
            }
            foreach (var layer in config.OfClass("Activation"))
            {
                if (layer.Text("activation") is not (null or "relu" or "sigmoid" or "softmax" or "linear"))
                    throw new InvalidDataException($"its layer '{MessageText.Printable(layer.Name)}' is the activation '{MessageText.Printable(layer.Text("activation")!)}', which a RepVGG does not have");
            }
            if (config.OfClass("ZeroPadding2D").FirstOrDefault() is { } padding)
                throw new InvalidDataException($"its layer '{MessageText.Printable(padding.Name)}' pads a map; in a RepVGG, convolutions pad their input ('same')");
        }

        private void AddWeights(RepVggArchitecture architecture, double[] epsilons, bool foldEpsilons)
        {
            int norm = 0;
            foreach (var (shape, block) in architecture.Blocks.Zip(_blocks))
            {
                if (!IsTraining)
                {
                    AddConvolution($"{shape.Name}.rbr_reparam", block.Dense);
                }
                else
                {
                    if (shape.HasIdentity)
                        AddNorm($"{shape.Name}.rbr_identity", shape.OutputChannels);
                    AddConvolution($"{shape.Name}.rbr_dense.conv", block.Dense);
                    AddNorm($"{shape.Name}.rbr_dense.bn", shape.OutputChannels);
                    AddConvolution($"{shape.Name}.rbr_1x1.conv", block.Pointwise!);
                    AddNorm($"{shape.Name}.rbr_1x1.bn", shape.OutputChannels);
                }
                if (block.Squeeze is { } squeeze && block.Excite is { } excite)
                {
                    AddConvolution($"{shape.SqueezeExcitationName}.down", squeeze);
                    AddConvolution($"{shape.SqueezeExcitationName}.up", excite);
                }
            }
            if (_classifier is not { } dense)
                return;
            int features = architecture.FeatureWidth, classes = dense.Kernel[1];
            if (dense.Kernel[0] != features || classes < 1)
                throw new InvalidDataException($"its dense layer '{Name(dense)}' has the kernel [{dense.Kernel[0]}, {classes}], but {features} features are pooled");
            _state["linear.weight"] = new TensorData([classes, features], Transposed(dense.Weights["kernel"].Read(), features, classes));
            _state["linear.bias"] = dense.Weights.TryGetValue("bias", out var bias) ? new TensorData(bias.Read()) : TensorData.Zeros(classes);

            // HWIO to OIHW: groups are part of the outputs in both.
            void AddConvolution(string name, KerasLayer layer)
            {
                int[] kernel = layer.Kernel;
                float[] values = layer.Weights["kernel"].Read(), oihw = new float[values.Length];
                int taps = kernel[0] * kernel[1], inputs = kernel[2], outputs = kernel[3];
                for (int tap = 0, from = 0; tap < taps; tap++)
                {
                    for (int i = 0; i < inputs; i++)
                    {
                        for (int o = 0; o < outputs; o++, from++)
                            oihw[(o * inputs + i) * taps + tap] = values[from];
                    }
                }
                _state[$"{name}.weight"] = new TensorData([outputs, inputs, kernel[0], kernel[1]], oihw);
                if (layer.Weights.TryGetValue("bias", out var bias))
                    _state[$"{name}.bias"] = new TensorData(bias.Read());
            }

            void AddNorm(string name, int channels)
            {
                var layer = _norms[norm];
                if (layer.Weights["gamma"].Shape is not [var own] || own != channels)
                    throw new InvalidDataException($"its batch norm '{Name(layer)}' has {layer.Weights["gamma"].Shape[0]} channels where its block has {channels}");
                float[] variance = layer.Weights["moving_variance"].Read();
                // Another epsilon than that of the network becomes part of the variance.
                double difference = foldEpsilons && norm < epsilons.Length ? epsilons[norm] - _epsilon : 0;
                if (difference != 0)
                    variance = Array.ConvertAll(variance, value => (float)(value + difference));
                _state[$"{name}.weight"] = new TensorData(layer.Weights["gamma"].Read());
                _state[$"{name}.bias"] = new TensorData(layer.Weights["beta"].Read());
                _state[$"{name}.running_mean"] = new TensorData(layer.Weights["moving_mean"].Read());
                _state[$"{name}.running_var"] = new TensorData(variance);
                norm++;
            }
        }

        private int IndexOf(KerasLayer convolution)
        {
            for (int i = 0; ; i++)
            {
                if (ReferenceEquals(_convolutions[i], convolution))
                    return i;
            }
        }

        /// <summary>Finds the configurations of layers: by their names or, if the file numbers them itself, by their order.</summary>
        private static List<KerasLayerConfig> ConfigOf(KerasConfig config, string type, IReadOnlyList<KerasLayer> layers)
        {
            var all = config.OfClass(type).ToList();
            var byName = all.ToLookup(layer => layer.Name);
            if (layers.All(layer => byName.Contains(OwnName(layer))))
                return [.. layers.Select(layer => byName[OwnName(layer)].First())];
            return all.Count == layers.Count ? all : throw new InvalidDataException($"its configuration has {all.Count} layers of the class {type}, and its weights are those of {layers.Count}");

            static string OwnName(KerasLayer layer) => layer.Name[(layer.Name.LastIndexOf('/') + 1)..];
        }

        private static string Name(KerasLayer layer) => MessageText.Printable(layer.Name);

        private static InvalidDataException Unexpected(KerasLayer layer, string expected) =>
            new($"its layer '{Name(layer)}' has the kernel [{string.Join(", ", layer.Kernel)}] (height, width, inputs, outputs), where {expected} is expected");

        private static float[] Transposed(float[] values, int rows, int columns)
        {
            var transposed = new float[values.Length];
            for (int row = 0; row < rows; row++)
            {
                for (int column = 0; column < columns; column++)
                    transposed[column * rows + row] = values[row * columns + column];
            }
            return transposed;
        }
    }
}
