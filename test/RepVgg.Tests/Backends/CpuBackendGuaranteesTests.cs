using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Tests.Backends;

/// <summary>Guarantees of the CPU backend only: bitwise equal results for any number of threads, and memory that does not grow.</summary>
public class CpuBackendGuaranteesTests
{
    /// <summary>Patches, strides, Winograd, groups and squeeze-and-excitation in one small network.</summary>
    private static readonly RepVggArchitecture _architecture = new()
    {
        Name = "mixed",
        InputChannels = 3,
        Stages = [new("stage0", 10, 1, 1), new("stage1", 32, 3, 2), new("stage2", 48, 2, 2)],
        Groups = 2,
        SqueezeExcitation = SqueezeExcitation.BeforeRelu,
    };

    private static readonly RepVggArchitecture _plain = new()
    {
        Name = "plain",
        InputChannels = 1,
        Stages = [new("stage0", 24, 1, 1), new("stage1", 32, 2, 2), new("stage2", 64, 2, 2)],
    };

    private static readonly SgdOptions _sgd = new(0.9f, Nesterov: true);

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    public void Bits_do_not_depend_on_the_number_of_threads(int threads)
    {
        foreach (var architecture in (RepVggArchitecture[])[_architecture with { SqueezeExcitation = SqueezeExcitation.None }, _plain, _plain with { TrainingForm = TrainingForm.Plain }])
        {
            foreach (var (options, clipNorm) in ((OptimizerOptions, float?)[])[(_sgd, null), (_sgd, 0.1f), (new AdamWOptions(), 0.1f)])
            {
                var one = Train(architecture, threads: 1, options, clipNorm);
                var many = Train(architecture, threads, options, clipNorm);
                foreach (var (name, tensor) in one)
                    Assert.True(tensor.Values.AsSpan().SequenceEqual(many[name].Values), $"{architecture.Name}, {architecture.TrainingForm}: {name} differs on {threads} threads with {options}.");
            }
        }
    }

    /// <summary>Blocks of one convolution and of more than two, of which units of images are computed together.</summary>
    [Theory]
    [InlineData(2)]
    [InlineData(5)]
    public void Bits_of_blocks_do_not_depend_on_the_number_of_threads(int threads)
    {
        foreach (int channels in (int[])[20, 48])
        {
            foreach (var kernels in ((int, int)[][])[[(3, 3)], [(1, 1)], [(3, 3), (3, 1), (1, 3)], [(3, 3), (3, 3), (3, 3), (1, 1), (0, 0)]])
            {
                foreach (int stride in kernels[^1] == (0, 0) ? [1] : (int[])[1, 2])
                    Assert.Equal(Results(1, channels, stride, kernels), Results(threads, channels, stride, kernels));
            }
        }

        static List<int[]> Results(int threads, int channels, int stride, (int, int)[] kernels)
        {
            const int Images = 19, Side = 9;
            using var backend = new CpuBackend(threads);
            var branches = NewBranches(backend, channels, kernels);
            using (backend.BeginStep(training: true))
            {
                var x = backend.CreateInput([Images, channels, Side, Side], Values(7, Images * channels * Side * Side), requiresGradient: true);
                var y = backend.MultiBranchConv(backend.MultiBranchConv(x, branches, new(stride, 1), relu: true), branches, new(stride, 1), relu: false);
                int count = y.Shape.Aggregate((product, dimension) => product * dimension);
                backend.BackwardFrom(y, Values(8, count));
                var results = new List<float[]> { new float[count], new float[Images * channels * Side * Side] };
                backend.CopyOut(y, results[0]);
                backend.CopyGradient(x, results[1]);
                foreach (var branch in branches)
                {
                    foreach (var tensor in (Tensor?[])[branch.Kernel, branch.Norm!.Weight, branch.Norm.Bias, branch.Norm.RunningMean, branch.Norm.RunningVariance])
                    {
                        if (tensor is null)
                            continue;
                        results.Add(new float[tensor.Shape.Aggregate((product, dimension) => product * dimension)]);
                        if (tensor.Role == TensorRole.Parameter)
                            backend.CopyGradient(tensor, results[^1]);
                        else
                            backend.CopyOut(tensor, results[^1]);
                    }
                }
                return [.. results.Select(values => Array.ConvertAll(values, BitConverter.SingleToInt32Bits))];
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Memory_does_not_grow_from_step_to_step(bool adamW)
    {
        using var backend = new CpuBackend(threads: 2);
        using var network = new TrainingNetwork(_plain, 4, backend, seed: 3);
        using var optimizer = backend.CreateOptimizer([new ParameterGroup(network.Parameters, 1e-4f)], adamW ? new AdamWOptions() : _sgd, gradientClipNorm: adamW ? 1 : null);
        Pass();
        long allocated = backend.AllocatedBytes;
        Pass();
        Assert.Equal(allocated, backend.AllocatedBytes);
        long managed = GC.GetAllocatedBytesForCurrentThread();
        Step(backend, network, optimizer, batch: 12, seed: 0);
        managed = GC.GetAllocatedBytesForCurrentThread() - managed;
        // Handles and closures of some forty operations; a single map of this step would be half as large.
        Assert.InRange(managed - 12 * 28 * 28 * sizeof(float), 0, 100_000);

        void Pass()
        {
            for (int step = 0; step < 4; step++)
                Step(backend, network, optimizer, batch: step == 3 ? 5 : 12, seed: step);
            using (backend.BeginStep(training: false))
                network.Forward(backend.CreateInput([20, 1, 28, 28], new float[20 * 28 * 28]));
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    public void Bits_of_merged_branches_windows_and_borders_do_not_depend_on_the_number_of_threads(int threads)
    {
        using Blocks one = new(threads: 1), many = new(threads);
        var (expected, actual) = (one.Step(images: 19), many.Step(images: 19));
        Assert.Equal(expected.Count, actual.Count);
        for (int i = 0; i < expected.Count; i++)
            Assert.True(expected[i].AsSpan().SequenceEqual(actual[i]), $"Result {i} differs on {threads} threads.");
    }

    [Fact]
    public void Memory_of_merged_branches_windows_and_borders_does_not_grow_from_step_to_step()
    {
        using var blocks = new Blocks(threads: 2);
        Pass();
        long allocated = blocks.Backend.AllocatedBytes;
        Pass();
        Assert.Equal(allocated, blocks.Backend.AllocatedBytes);

        void Pass()
        {
            foreach (int images in (int[])[19, 7, 19])
                blocks.Step(images);
        }
    }

    [Fact]
    public void Disposing_gives_all_memory_back()
    {
        var backend = new CpuBackend(threads: 2);
        using (var network = new TrainingNetwork(_plain, 4, backend, seed: 3))
        using (var optimizer = NewOptimizer(backend, network))
            Step(backend, network, optimizer, batch: 3, seed: 1);
        Assert.True(backend.AllocatedBytes > 0);
        backend.Dispose();
        Assert.Equal(0, backend.AllocatedBytes);
        Assert.Throws<ObjectDisposedException>(() => backend.BeginStep(training: true));
    }

    /// <summary>A trained block stores the maps of its two convolutions until the backward pass; frozen blocks of one size share theirs.</summary>
    [Fact]
    public void Frozen_stages_keep_no_branch_maps()
    {
        const int Batch = 64;
        long Bytes(int frozenStages)
        {
            using var backend = new CpuBackend(threads: 2);
            using var network = new TrainingNetwork(_plain, 4, backend, seed: 3, frozenStages);
            using var optimizer = NewOptimizer(backend, network);
            Step(backend, network, optimizer, Batch, seed: 1);
            return backend.AllocatedBytes;
        }
        int side = 28;
        var maps = new List<long>();
        foreach (var block in _plain.Blocks)
        {
            side = (side + block.Stride - 1) / block.Stride;
            maps.Add((long)Batch * block.OutputChannels * side * side * sizeof(float));
        }
        long shared = 2 * (maps.Sum() - maps.Distinct().Sum());
        Assert.True(shared > 0);
        long all = Bytes(0), frozen = Bytes(_plain.Stages.Length);
        Assert.True(all - frozen >= shared, $"{frozen} bytes with frozen stages, {all} without; at least {shared} less were expected.");
    }

    /// <summary>A block of one convolution stores the convolution's output and its own output until the end of the step, and no other map.</summary>
    [Fact]
    public void A_block_of_one_convolution_keeps_two_maps()
    {
        const int Images = 64, Channels = 32, Side = 28;
        const long Map = (long)Images * Channels * Side * Side * sizeof(float);
        // Buffers are at most one eighth larger than what they hold.
        long first = Bytes(4), second = Bytes(8);
        Assert.InRange(second - first, 8 * Map, 9 * Map);
        Assert.InRange(Bytes(4, record: false) - Bytes(2, record: false), 2 * Map, 9 * Map / 4);

        static long Bytes(int blocks, bool record = true)
        {
            using var backend = new CpuBackend(threads: 2);
            var branches = NewBranches(backend, Channels, (3, 3));
            long allocated = 0;
            for (int step = 0; step < 3; step++)
            {
                using (backend.BeginStep(training: record, record))
                {
                    var map = backend.CreateInput([Images, Channels, Side, Side], new float[Images * Channels * Side * Side]);
                    for (int i = 0; i < blocks; i++)
                        map = backend.MultiBranchConv(map, branches, new(1, 1), relu: true);
                    if (record)
                        backend.BackwardFrom(map, new float[Images * Channels * Side * Side]);
                }
                Assert.True(step == 0 || allocated == backend.AllocatedBytes, $"Step {step}: {backend.AllocatedBytes} bytes instead of {allocated}.");
                allocated = backend.AllocatedBytes;
            }
            return allocated;
        }
    }

    /// <summary>Blocks of normalised filters, of merged and of separate branches with a batch norm of the sum, and the parts of a Diverse Branch Block.</summary>
    private sealed class Blocks : IDisposable
    {
        private const int Channels = 32, Size = 14;

        private readonly Random _random = new(7);
        private readonly List<Tensor> _parameters = [];
        private readonly List<BatchNormState> _norms = [];
        private readonly Branch[] _normalized, _merged, _separate;
        private readonly Tensor _first, _last;

        public Blocks(int threads)
        {
            Backend = new CpuBackend(threads);
            for (int i = 0; i < 5; i++)
                _norms.Add(new BatchNormState(Parameter(Channels), Parameter(Channels), Backend.CreateBuffer(TensorData.Zeros(Channels)), Backend.CreateBuffer(new TensorData([Channels], [.. Enumerable.Repeat(1f, Channels)]))));
            _normalized = [new Branch(null) { ChannelScale = Parameter(Channels) }, new Branch(Kernel(3)) { ChannelScale = Parameter(Channels), NormalizesFilters = true }];
            _merged = [new Branch(Kernel(3)), new Branch(Kernel(1)), new Branch(null)];
            _separate = [new Branch(Kernel(3), _norms[4]), new Branch(Kernel(1)), new Branch(null)];
            (_first, _last) = (Kernel(1), Kernel(3));
        }

        public CpuBackend Backend { get; }

        /// <summary>Runs a training step and returns the output, all gradients and the running statistics.</summary>
        public List<float[]> Step(int images)
        {
            var random = new Random(8);
            using (Backend.BeginStep(training: true))
            {
                var x = Backend.CreateInput([images, Channels, Size, Size], Values(random, images * Channels * Size * Size), requiresGradient: true);
                var y = Backend.MultiBranchConv(x, _normalized, new(1, 1), relu: true, _norms[0]);
                y = Backend.MultiBranchConv(y, _merged, new(1, 1), relu: true, _norms[1]);
                y = Backend.MultiBranchConv(y, _separate, new(1, 1), relu: true, _norms[2]);
                y = Backend.PadWithNorm(Backend.BatchNorm(Backend.Conv2d(y, _first, null, 1, 0, 1), _norms[3]), _norms[3]);
                y = Backend.Add(Backend.Conv2d(y, _last, null, 2, 0, 1), Backend.AveragePool3x3(y, 2, 0));
                float[] output = Read(y, gradient: false);
                Backend.BackwardFrom(y, Values(random, output.Length));
                return [output, Read(x, gradient: true), .. _parameters.Select(parameter => Read(parameter, gradient: true)), .. _norms.Select(norm => Read(norm.RunningVariance, gradient: false))];
            }
        }

        public void Dispose() => Backend.Dispose();

        private Tensor Kernel(int size) => Parameter(Channels, Channels, size, size);

        private Tensor Parameter(params int[] shape)
        {
            _parameters.Add(Backend.CreateParameter(new TensorData(shape, Values(_random, shape.Aggregate(1, (product, dimension) => product * dimension)))));
            return _parameters[^1];
        }

        private float[] Read(Tensor tensor, bool gradient)
        {
            var values = new float[tensor.Shape.Aggregate(1, (product, dimension) => product * dimension)];
            if (gradient)
                Backend.CopyGradient(tensor, values);
            else
                Backend.CopyOut(tensor, values);
            return values;
        }

        private static float[] Values(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() * 2 - 1)];
    }

    private static StateDict Train(RepVggArchitecture architecture, int threads, OptimizerOptions options, float? clipNorm)
    {
        using var backend = new CpuBackend(threads);
        using var network = new TrainingNetwork(architecture, 4, backend, seed: 11);
        using var optimizer = backend.CreateOptimizer([new ParameterGroup(network.Parameters, 1e-4f)], options, clipNorm);
        for (int step = 0; step < 2; step++)
            Step(backend, network, optimizer, batch: 19, seed: step);
        return network.ExportState();
    }

    /// <summary>Branches with batch norms, of as many outputs as inputs; (0, 0) is the identity.</summary>
    private static Branch[] NewBranches(Backend backend, int channels, params (int Height, int Width)[] kernels) => [.. kernels.Select((kernel, i) => new Branch(
        kernel == (0, 0) ? null : backend.CreateParameter(new TensorData([channels, channels, kernel.Height, kernel.Width], Values(i, channels * channels * kernel.Height * kernel.Width))),
        new BatchNormState(
            backend.CreateParameter(new TensorData([channels], Values(10 + i, channels))), backend.CreateParameter(new TensorData([channels], Values(20 + i, channels))),
            backend.CreateBuffer(TensorData.Zeros(channels)), backend.CreateBuffer(new TensorData([channels], [.. Enumerable.Repeat(1f, channels)])))))];

    private static float[] Values(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() - 0.5f)];
    }

    private static Optimizer NewOptimizer(Backend backend, TrainingNetwork network) =>
        backend.CreateOptimizer([new ParameterGroup(network.Parameters, 1e-4f)], _sgd);

    private static void Step(Backend backend, TrainingNetwork network, Optimizer optimizer, int batch, int seed)
    {
        var random = new Random(seed);
        int[] shape = [batch, network.Architecture.InputChannels, 28, 28];
        var images = new float[batch * shape[1] * 28 * 28];
        for (int i = 0; i < images.Length; i++)
            images[i] = random.NextSingle() * 2 - 1;
        using (backend.BeginStep(training: true))
        {
            var logits = network.Forward(backend.CreateInput(shape, images));
            backend.Backward(backend.SoftmaxCrossEntropy(logits, [.. Enumerable.Range(0, batch).Select(i => i % network.Classes)], 0.1f));
        }
        optimizer.Step(0.05f);
    }
}
