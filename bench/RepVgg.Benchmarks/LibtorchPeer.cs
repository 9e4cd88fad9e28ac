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

    /// <param name="architecture">What to train, without squeeze-and-excitation and auxiliary heads.</param>
    /// <param name="initial">The weights to start from.</param>
    /// <param name="images">The batch.</param>
    /// <param name="shape">Its shape, [N, C, H, W].</param>
    /// <param name="labels">The classes of the batch.</param>
    /// <param name="threads">Threads of libtorch's kernels.</param>
    /// <exception cref="DeviceUnavailableException">libtorch cannot be loaded, or computes wrong numbers.</exception>
    public LibtorchPeer(RepVggArchitecture architecture, StateDict initial, float[] images, int[] shape, int[] labels, int threads)
    {
        // Checks that libtorch can be used. While it exists, glibc keeps freed memory, which makes libtorch's steps faster.
        _runtime = TorchBackends.Create(new TorchBackendOptions { Threads = threads, Network = architecture });
        torch.set_num_threads(threads);
        _network = new PlainRepVgg(architecture, initial);
        _optimizer = torch.optim.SGD(_network.parameters(), TrainingBenchmark.LearningRate, TrainingBenchmark.Momentum, weight_decay: TrainingBenchmark.WeightDecay);
        _criterion = CrossEntropyLoss();
        _images = torch.tensor(images, Array.ConvertAll(shape, dimension => (long)dimension));
        _labels = torch.tensor(Array.ConvertAll(labels, label => (long)label));
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
        private readonly Module<Tensor, Tensor>[] _stages;

        [ComponentName(Name = "linear")]
        private readonly Linear _linear;

        private readonly AdaptiveAvgPool2d _pool = AdaptiveAvgPool2d(1);

        public PlainRepVgg(RepVggArchitecture architecture, StateDict initial)
            : base(nameof(PlainRepVgg))
        {
            if (architecture.SqueezeExcitation != SqueezeExcitation.None || architecture.Stages.Any(stage => stage.AuxiliaryHead))
                throw new ArgumentException($"The libtorch side has no squeeze-and-excitation and no auxiliary heads, as {architecture.Name} has them; --peer none times our side alone.");
            var blocks = new Queue<BlockSpec>(architecture.Blocks);
            _stages = new Module<Tensor, Tensor>[architecture.Stages.Length];
            for (int i = 0; i < _stages.Length; i++)
            {
                // The stem is a block, the other stages are lists of them.
                _stages[i] = i == 0
                    ? new PlainBlock(blocks.Dequeue())
                    : Sequential([.. Enumerable.Range(0, architecture.Stages[i].Depth).Select(index => ($"{index}", (Module<Tensor, Tensor>)new PlainBlock(blocks.Dequeue())))]);
                register_module(architecture.Stages[i].Name, _stages[i]);
            }
            var shape = initial["linear.weight"].Shape;
            _linear = Linear(shape[1], shape[0]);
            RegisterComponents();
            CopyIn(initial);
        }

        public override Tensor forward(Tensor input)
        {
            using var scope = torch.NewDisposeScope();
            var map = input;
            foreach (var stage in _stages)
                map = stage.call(map);
            return _linear.call(_pool.call(map).flatten(1)).MoveToOuterDisposeScope();
        }

        private void CopyIn(StateDict initial)
        {
            using var scope = torch.NewDisposeScope();
            using var mode = torch.no_grad();
            var tensors = state_dict().Where(entry => !entry.Key.EndsWith("num_batches_tracked", StringComparison.Ordinal)).ToDictionary();
            if (!tensors.Keys.ToHashSet().SetEquals(initial.Select(entry => entry.Key)))
                throw new InvalidOperationException("The libtorch side has other tensors than ours.");
            foreach (var (name, tensor) in tensors)
                tensor.copy_(torch.tensor(initial[name].Values).reshape(tensor.shape));
        }
    }

    /// <summary>A block: 3x3, 1x1 and, where shapes allow, identity, a batch norm each; their sum; ReLU.</summary>
    private sealed class PlainBlock : Module<Tensor, Tensor>
    {
        [ComponentName(Name = "rbr_dense")]
        private readonly Sequential _dense;

        [ComponentName(Name = "rbr_1x1")]
        private readonly Sequential _point;

        [ComponentName(Name = "rbr_identity")]
        private readonly BatchNorm2d? _identity;

        public PlainBlock(BlockSpec block)
            : base(nameof(PlainBlock))
        {
            _dense = Branch(3, 1);
            _point = Branch(1, 0);
            _identity = block.HasIdentity ? BatchNorm2d(block.OutputChannels) : null;
            RegisterComponents();

            Sequential Branch(int kernel, int padding) => Sequential(
                ("conv", Conv2d(block.InputChannels, block.OutputChannels, kernel, block.Stride, padding, groups: block.Groups, bias: false)),
                ("bn", BatchNorm2d(block.OutputChannels)));
        }

        public override Tensor forward(Tensor input)
        {
            using var scope = torch.NewDisposeScope();
            var sum = _dense.call(input).add_(_point.call(input));
            if (_identity is not null)
                sum.add_(_identity.call(input));
            return sum.relu_().MoveToOuterDisposeScope();
        }
    }
}
