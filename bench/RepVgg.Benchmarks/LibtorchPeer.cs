using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.TorchSharp;
using RepVgg.Weights;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch.nn;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.Benchmarks;

/// <summary>Training steps of a RepVGG in libtorch on the CPU, written with plain TorchSharp modules.</summary>
internal sealed class LibtorchPeer : IDisposable
{
    private readonly Backend _runtime;
    private readonly PlainRepVgg _network;
    private readonly torch.optim.Optimizer _optimizer;
    private readonly CrossEntropyLoss _criterion;
    private readonly Tensor _images;
    private readonly Tensor _labels;

    /// <param name="own">Steps of this library, which train the same network, without squeeze-and-excitation and auxiliary heads, from the same weights on the same batch with as many threads.</param>
    /// <exception cref="DeviceUnavailableException">libtorch cannot be loaded, or computes wrong numbers.</exception>
    public LibtorchPeer(TrainingSteps own)
    {
        var architecture = own.Network.Architecture;
        // Checks that libtorch can be used. While it exists, glibc keeps freed memory, which makes libtorch's steps faster.
        _runtime = TorchBackends.Create(new TorchBackendOptions { Threads = own.Threads, Network = architecture });
        torch.set_num_threads(own.Threads);
        _network = new PlainRepVgg(architecture, own.Network.ExportState());
        _optimizer = torch.optim.SGD(_network.parameters(), TrainingSteps.LearningRate, TrainingSteps.Momentum, weight_decay: TrainingSteps.WeightDecay);
        _criterion = CrossEntropyLoss();
        _images = torch.tensor(own.Images, Array.ConvertAll(own.Shape, dimension => (long)dimension));
        _labels = torch.tensor(Array.ConvertAll(own.Labels, label => (long)label));
    }

    /// <summary>The versions that run, and the limit on their instructions if one is set.</summary>
    public static string Version
    {
        get
        {
            string limit = Environment.GetEnvironmentVariable("ONEDNN_MAX_CPU_ISA") is { Length: > 0 } set ? $", slowed by ONEDNN_MAX_CPU_ISA={set}" : "";
            return $"libtorch {torch.__version__} through TorchSharp {typeof(torch).Assembly.GetName().Version!.ToString(3)}{limit}";
        }
    }

    /// <summary>Trains one step.</summary>
    /// <returns>The loss before it.</returns>
    public float Step()
    {
        using var scope = torch.NewDisposeScope();
        _optimizer.zero_grad();
        var loss = _criterion.call(_network.call(_images), _labels);
        loss.backward();
        _optimizer.step();
        return loss.item<float>();
    }

    public void Dispose()
    {
        _labels.Dispose();
        _images.Dispose();
        _criterion.Dispose();
        _optimizer.Dispose();
        _network.Dispose();
        _runtime.Dispose();
    }

    /// <summary>The network: blocks, average pooling and a linear layer.</summary>
    private sealed class PlainRepVgg : Module<Tensor, Tensor>
    {
        private readonly PlainBlock[] _blocks;
        private readonly Linear _linear;
        private readonly AdaptiveAvgPool2d _pool = AdaptiveAvgPool2d(1);

        public PlainRepVgg(RepVggArchitecture architecture, StateDict initial)
            : base(nameof(PlainRepVgg))
        {
            if (architecture.SqueezeExcitation != SqueezeExcitation.None || architecture.Stages.Any(stage => stage.AuxiliaryHead))
                throw new ArgumentException($"The libtorch side has no squeeze-and-excitation and no auxiliary heads, as {architecture.Name} has them; --peer none times our side alone.");
            if (architecture.Blocks.Any(block => !block.Branches.All(IsKnown)))
                throw new ArgumentException($"The libtorch side has no branches as those of {architecture.TrainingForm}; --peer none times our side alone.");
            _blocks = [.. architecture.Blocks.Select(block => new PlainBlock(block))];
            var shape = initial["linear.weight"].Shape;
            _linear = Linear(shape[1], shape[0]);
            for (int i = 0; i < _blocks.Length; i++)
                register_module($"block{i}", _blocks[i]);
            register_module("linear", _linear);
            CopyIn(initial);
        }

        public override Tensor forward(Tensor input)
        {
            using var scope = torch.NewDisposeScope();
            var map = input;
            foreach (var block in _blocks)
                map = block.call(map);
            return _linear.call(_pool.call(map).flatten(1)).MoveToOuterDisposeScope();
        }

        private static bool IsKnown(BranchSpec branch) =>
            branch is { IsSingleLayer: true, Kind: BranchKind.Convolution or BranchKind.Identity, Scale: null, NormalizesFilters: false };

        private void CopyIn(StateDict initial)
        {
            using var scope = torch.NewDisposeScope();
            using var mode = torch.no_grad();
            var missing = initial.Select(entry => entry.Key).ToHashSet();
            foreach (var (module, name) in _blocks.SelectMany(block => block.NamedModules).Append((_linear, "linear")))
            {
                foreach (var (key, tensor) in module.state_dict())
                {
                    if (key == "num_batches_tracked")
                        continue;
                    tensor.copy_(torch.tensor(initial[$"{name}.{key}"].Values).reshape(tensor.shape));
                    missing.Remove($"{name}.{key}");
                }
            }
            if (missing.Count > 0)
                throw new ArgumentException($"The libtorch side has no tensor '{missing.Min(StringComparer.Ordinal)}', as this training form has it; --peer none times our side alone.");
        }
    }

    /// <summary>A block: the sum of its branches, each a convolution or the identity and a batch norm; ReLU.</summary>
    private sealed class PlainBlock : Module<Tensor, Tensor>
    {
        private readonly BlockSpec _block;
        private readonly (BranchSpec Spec, Conv2d? Convolution, BatchNorm2d? Norm)[] _branches;

        public PlainBlock(BlockSpec block)
            : base(nameof(PlainBlock))
        {
            _block = block;
            _branches = [.. block.Branches.Select(branch => (
                branch,
                branch.KernelName is null ? null : Conv2d(
                    block.InputChannels, block.OutputChannels, (branch.KernelHeight, branch.KernelWidth), (block.Stride, block.Stride),
                    (branch.KernelHeight / 2, branch.KernelWidth / 2), groups: block.Groups, bias: false),
                branch.NormName is null ? null : BatchNorm2d(block.OutputChannels)))];
            foreach (var (module, name) in NamedModules)
                register_module(name.Replace('.', '_'), module);
        }

        /// <summary>The modules with their names in the network.</summary>
        public IEnumerable<(Module Module, string Name)> NamedModules
        {
            get
            {
                foreach (var (spec, convolution, norm) in _branches)
                {
                    if (convolution is not null)
                        yield return (convolution, $"{_block.Name}.{spec.KernelName}");
                    if (norm is not null)
                        yield return (norm, $"{_block.Name}.{spec.NormName}");
                }
            }
        }

        public override Tensor forward(Tensor input)
        {
            using var scope = torch.NewDisposeScope();
            Tensor? sum = null;
            foreach (var (_, convolution, norm) in _branches)
            {
                var part = convolution is null ? input : convolution.call(input);
                if (norm is not null)
                    part = norm.call(part);
                sum = sum is null ? part : sum.add_(part);
            }
            return sum!.relu_().MoveToOuterDisposeScope();
        }
    }
}
