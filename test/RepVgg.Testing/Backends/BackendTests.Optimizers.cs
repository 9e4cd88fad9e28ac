using System.Text.Json;
using RepVgg.Backends;
using RepVgg.Optimizers;
using RepVgg.Tool.Weights;
using RepVgg.Weights;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace RepVgg.Testing;

/// <content>The optimizers.</content>
public abstract partial class BackendTests
{
    private static readonly Dictionary<string, OptimizerOptions> _optimizers = new()
    {
        ["SGD"] = new SgdOptions(0),
        ["momentum"] = new SgdOptions(),
        ["Nesterov"] = new SgdOptions(0.7f, Nesterov: true),
        ["AdamW"] = new AdamWOptions(),
        ["AdamW with other factors"] = new AdamWOptions(0.6f, 0.95f, 1e-3f),
    };

    public static TheoryData<string> Optimizers => [.. _optimizers.Keys];

    /// <summary>Every optimizer, plain, with gradient multipliers, and with gradients that are clipped in all steps, some or none.</summary>
    public static TheoryData<string, bool, float?> OptimizerCases
    {
        get
        {
            var cases = new TheoryData<string, bool, float?>();
            foreach (string name in _optimizers.Keys)
            {
                cases.Add(name, false, null);
                cases.Add(name, true, null);
                foreach (float norm in (float[])[0.01f, 0.3f, 1000])
                    cases.Add(name, false, norm);
            }
            return cases;
        }
    }

    /// <summary>Four steps, of which the second and the last leave the linear layer without gradients.</summary>
    [BackendTheory]
    [MemberData(nameof(OptimizerCases))]
    public void Optimizers_follow_their_formulas(string name, bool multiplied, float? clipNorm)
    {
        var options = _optimizers[name];
        using var model = new LinearModel(Backend);
        (string Name, Tensor Tensor)[] parameters = [("kernel", model.Kernel), ("weight", model.Weight), ("bias", model.Bias)];
        TensorData[] multipliers = [.. parameters.Take(2).Select((parameter, i) => Multipliers(20 + i, parameter.Tensor))];
        using var optimizer = Backend.CreateOptimizer(
            [
                new ParameterGroup(parameters[..2], 0.05f) { GradientMultipliers = multiplied ? multipliers : null },
                new ParameterGroup([parameters[2], ("unused", model.Unused)], 0.5f, LearningRateScale: 0.3f),
            ],
            options, clipNorm);
        ReferenceOptimizer[] references =
        [
            .. parameters.Select((parameter, i) => new ReferenceOptimizer(
                options, Doubles(parameter.Tensor), i < 2 ? 1 : 0.3f, i < 2 ? 0.05f : 0.5f, multiplied && i < 2 ? multipliers[i].Values : null)),
        ];
        for (int step = 0; step < 4; step++)
        {
            int used = step % 2 == 0 ? 3 : 1;
            model.Step(step, withLinear: used == 3);
            float rate = 0.1f + 0.02f * step;
            double[][] gradients = [.. parameters.Take(used).Select(parameter => Array.ConvertAll(Gradient(parameter.Tensor), value => (double)value))];
            Assert.All(gradients, gradient => Assert.Contains(gradient, value => Math.Abs(value) > 1e-4));
            gradients = ReferenceOptimizer.Clip(gradients, clipNorm);
            for (int i = 0; i < used; i++)
                references[i].Step(gradients[i], rate);
            float[] before = Gradient(model.Kernel);
            optimizer.Step(rate);
            Assert.Equal(before, Gradient(model.Kernel));
            for (int i = 0; i < references.Length; i++)
                Compare.Close(Floats(references[i].Weights), Read(parameters[i].Tensor), 2e-6, $"{parameters[i].Name} after step {step}");
        }
        Assert.Equal([1f, 2f, 3f], Read(model.Unused));

        var state = optimizer.ExportState();
        string[] all = ["kernel", "weight", "bias", "unused"];
        string[] slots = options is AdamWOptions ? ["exp_avg", "exp_avg_sq", "step"] : options == _optimizers["SGD"] ? [] : ["momentum_buffer"];
        Assert.Equal([.. slots.SelectMany(slot => all.Select(parameter => $"{slot}/{parameter}")), .. multiplied ? ["multiplier/kernel", "multiplier/weight"] : Array.Empty<string>()], state.Names);
        foreach (string slot in slots)
        {
            Assert.All(state[$"{slot}/unused"].Values, value => Assert.Equal(0, value));
            for (int i = 0; i < references.Length; i++)
            {
                var tensor = state[$"{slot}/{parameters[i].Name}"];
                Assert.Equal(slot == "step" ? [] : parameters[i].Tensor.Shape, tensor.Shape);
                if (slot == "step")
                    Assert.Equal([i == 0 ? 4f : 2f], tensor.Values);
                else
                    Compare.Close(Floats(references[i][slot]), tensor.Values, 2e-6, $"{slot} of {parameters[i].Name}");
            }
        }
        for (int i = 0; i < (multiplied ? 2 : 0); i++)
            Assert.Equal(multipliers[i].Values, state[$"multiplier/{parameters[i].Name}"].Values);
    }

    /// <summary>Backends may update long tensors in pieces, and short ones together.</summary>
    [BackendTheory]
    [MemberData(nameof(OptimizerCases))]
    public void Optimizers_update_long_and_short_tensors_alike(string name, bool multiplied, float? clipNorm)
    {
        const int Inputs = 500, Outputs = 400;
        const float Decay = 0.05f, Rate = 0.1f;
        var options = _optimizers[name];
        float[] input = Array.ConvertAll(LinearModel.Draw(4, 6, Inputs).Values, value => 0.1f * value);
        using var weight = Backend.CreateParameter(LinearModel.Draw(5, Outputs, Inputs));
        using var bias = Backend.CreateParameter(LinearModel.Draw(6, Outputs));
        using var unused = Backend.CreateParameter(new TensorData([3], [1, 2, 3]));
        (string Name, Tensor Tensor)[] parameters = [("0", weight), ("1", bias), ("2", unused)];
        TensorData[] multipliers = [.. parameters.Select((parameter, i) => Multipliers(30 + i, parameter.Tensor))];
        using var optimizer = Backend.CreateOptimizer([new ParameterGroup(parameters, Decay) { GradientMultipliers = multiplied ? multipliers : null }], options, clipNorm);
        ReferenceOptimizer[] references =
            [.. parameters.Take(2).Select((parameter, i) => new ReferenceOptimizer(options, Doubles(parameter.Tensor), 1, Decay, multiplied ? multipliers[i].Values : null))];
        for (int step = 0; step < 3; step++)
        {
            using (Backend.BeginStep(training: true))
                Backend.Backward(Backend.SoftmaxCrossEntropy(Backend.Linear(Backend.CreateInput([6, Inputs], input), weight, bias), [0, 100, 261, 262, 300, 399], 0));
            double[][] gradients = [.. parameters.Take(2).Select(parameter => Array.ConvertAll(Gradient(parameter.Tensor), value => (double)value))];
            // Later gradients of AdamW are smaller, since it soon fits the six images.
            Assert.All(gradients, gradient => Assert.Contains(gradient[..(gradient.Length / 4)], value => Math.Abs(value) > (step == 0 ? 0.01 : 1e-6)));
            Assert.All(gradients, gradient => Assert.Contains(gradient[(gradient.Length * 3 / 4)..], value => Math.Abs(value) > (step == 0 ? 0.01 : 1e-6)));
            gradients = ReferenceOptimizer.Clip(gradients, clipNorm);
            for (int i = 0; i < references.Length; i++)
                references[i].Step(gradients[i], Rate);
            optimizer.Step(Rate);
        }
        var state = optimizer.ExportState();
        for (int i = 0; i < references.Length; i++)
        {
            Compare.Close(Floats(references[i].Weights), Read(parameters[i].Tensor), 2e-6, $"weights {i}");
            foreach (string slot in options.Slots)
                Compare.Close(Floats(references[i][slot]), state[$"{slot}/{i}"].Values, 2e-6, $"{slot} {i}");
        }
        Assert.Equal([1f, 2f, 3f], Read(unused));
    }

    /// <summary>Six steps from given gradients, against torch.optim and torch.nn.utils.clip_grad_norm_.</summary>
    [BackendTheory]
    [InlineData("adamw")]
    [InlineData("adamw-decay")]
    [InlineData("adamw-clipped")]
    [InlineData("sgd-clipped")]
    public void Optimizers_are_PyTorchs(string trace)
    {
        var golden = PthReader.Read(GoldenFiles.PathOf(Path.Combine("optimizers", "trace.pth")));
        using var json = JsonDocument.Parse(File.ReadAllText(GoldenFiles.PathOf(Path.Combine("optimizers", "trace.json"))));
        var settings = json.RootElement.GetProperty(trace);
        float Number(string name) => settings.GetProperty(name).GetSingle();
        OptimizerOptions options = settings.GetProperty("algorithm").GetString() == "SGD"
            ? new SgdOptions(Number("momentum"), settings.GetProperty("nesterov").GetBoolean())
            : new AdamWOptions(settings.GetProperty("betas")[0].GetSingle(), settings.GetProperty("betas")[1].GetSingle(), Number("eps"));
        float? clipNorm = settings.TryGetProperty("max_norm", out var norm) ? norm.GetSingle() : null;

        using var weight = Backend.CreateParameter(golden["initial/weight"]);
        using var bias = Backend.CreateParameter(golden["initial/bias"]);
        (string Name, Tensor Tensor)[] parameters = [("weight", weight), ("bias", bias)];
        using var optimizer = Backend.CreateOptimizer([new ParameterGroup(parameters, Number("weight_decay"))], options, clipNorm);
        var gradients = golden["gradients"];
        int steps = gradients.Shape[0], inputs = gradients.Shape[1], length = inputs * gradients.Shape[2];
        float[] identity = [.. Enumerable.Range(0, inputs * inputs).Select(i => i % (inputs + 1) == 0 ? 1f : 0)];
        for (int step = 0; step < steps; step++)
        {
            using (Backend.BeginStep(training: true))
                Backend.BackwardFrom(Backend.Linear(Backend.CreateInput([inputs, inputs], identity), weight, bias), gradients.Values.AsSpan(step * length, length));
            optimizer.Step(Number("lr"));
        }
        var state = optimizer.ExportState();
        foreach (var (name, tensor) in parameters)
        {
            Compare.Close(golden[$"{trace}/{name}"].Values, Read(tensor), 2e-6, name);
            foreach (string slot in options.Slots)
                Compare.Close(golden[$"{trace}/{slot}/{name}"].Values, state[$"{slot}/{name}"].Values, 2e-6, $"{slot} of {name}");
            if (options.CountsSteps)
                Assert.Equal([steps], state[$"step/{name}"].Values);
        }
    }

    /// <summary>What gradient multipliers are for: a layer moves as a * A + b * B does when A and B are trained, for constants a and b. The multipliers are a^2 + b^2 for SGD and a + b for AdamW.</summary>
    [BackendTheory]
    [MemberData(nameof(Optimizers))]
    public void Multipliers_train_a_layer_as_the_sum_of_its_scaled_branches(string name)
    {
        const float A = 0.7f, B = 1.9f, Rate = 0.05f, Decay = 0.1f;
        var options = _optimizers[name] is AdamWOptions adamW ? adamW with { Epsilon = 1e-12f } : _optimizers[name];
        float multiplier = options is AdamWOptions ? A + B : A * A + B * B;
        using var first = Backend.CreateParameter(LinearModel.Draw(1, 4, 3));
        using var second = Backend.CreateParameter(LinearModel.Draw(2, 4, 3));
        using var zero = Backend.CreateBuffer(TensorData.Zeros(4));
        float[] Sum() => [.. Read(first).Zip(Read(second), (x, y) => A * x + B * y)];
        using var layer = Backend.CreateParameter(new TensorData([4, 3], Sum()));
        float[] factors = new float[12];
        Array.Fill(factors, multiplier);
        using var ofBranches = Backend.CreateOptimizer([new ParameterGroup([("first", first), ("second", second)], Decay)], options);
        using var ofLayer = Backend.CreateOptimizer([new ParameterGroup([("layer", layer)], Decay) { GradientMultipliers = [new TensorData([4, 3], factors)] }], options);
        float[] initial = Read(layer);
        for (int step = 0; step < 5; step++)
        {
            var input = LinearModel.Draw(50 + step, 5, 3);
            Tensor Output(Tensor weight) => Backend.Linear(Backend.CreateInput([5, 3], input.Values), weight, zero);
            using (Backend.BeginStep(training: true))
                Backend.Backward(Backend.SoftmaxCrossEntropy(Backend.Add(Backend.Scale(Output(first), A), Backend.Scale(Output(second), B)), [0, 1, 2, 3, 0], 0));
            ofBranches.Step(Rate);
            using (Backend.BeginStep(training: true))
                Backend.Backward(Backend.SoftmaxCrossEntropy(Output(layer), [0, 1, 2, 3, 0], 0));
            ofLayer.Step(Rate);
        }
        Compare.Close(Sum(), Read(layer), 5e-6);
        Assert.True(Compare.RelativeError(initial, Read(layer)) > 0.05);
    }

    [BackendTheory]
    [MemberData(nameof(OptimizerCases))]
    public void An_optimizer_goes_on_from_its_state(string name, bool multiplied, float? clipNorm)
    {
        using var whole = new LinearModel(Backend);
        using var cut = new LinearModel(Backend);
        using var first = Create(whole, 3);
        using (var before = Create(cut, 3))
        {
            Train(whole, first, 0, 3);
            Train(cut, before, 0, 3);
            // Other multipliers are replaced by those of the state.
            using var after = Create(cut, 4);
            after.ImportState(before.ExportState());
            Train(cut, after, 3, 6);
        }
        Train(whole, first, 3, 6);
        Assert.Equal(Read(whole.Kernel), Read(cut.Kernel));
        Assert.Equal(Read(whole.Bias), Read(cut.Bias));

        Optimizer Create(LinearModel model, int seed) => Backend.CreateOptimizer(
            [
                new ParameterGroup([("kernel", model.Kernel)], 0.01f) { GradientMultipliers = multiplied ? [Multipliers(seed, model.Kernel)] : null },
                new ParameterGroup([("weight", model.Weight), ("bias", model.Bias)], 0.01f),
            ],
            _optimizers[name], clipNorm);
        static void Train(LinearModel model, Optimizer optimizer, int from, int to)
        {
            for (int step = from; step < to; step++)
            {
                model.Step(step, withLinear: step != 1);
                optimizer.Step(0.1f);
            }
        }
    }

    [BackendFact]
    public void States_of_other_optimizers_are_refused()
    {
        using var model = new LinearModel(Backend);
        using var sgd = model.Optimizer();
        using var adamW = model.Optimizer(new AdamWOptions());
        ParameterGroup Group(TensorData? multipliers) =>
            new([("kernel", model.Kernel)], 0) { GradientMultipliers = multipliers is null ? null : [multipliers] };
        using var multiplied = Backend.CreateOptimizer([Group(Multipliers(1, model.Kernel))], new SgdOptions());
        using var plain = Backend.CreateOptimizer([Group(null)], new SgdOptions());
        model.Step(1);
        foreach (var optimizer in (Optimizer[])[sgd, adamW, multiplied, plain])
            optimizer.Step(0.1f);

        Refused(sgd, "'momentum_buffer/kernel'", []);
        Refused(sgd, "'momentum_buffer/weight' of the optimizer's state has the shape [1], not [4, 3]", Changed(sgd, "momentum_buffer/weight", TensorData.Zeros(1)));
        Refused(sgd, "'exp_avg/kernel'", Changed(sgd, "exp_avg/kernel", TensorData.Zeros(1)));
        Refused(adamW, "'exp_avg/kernel'", sgd.ExportState());
        Refused(adamW, "'step/bias' of the optimizer's state has the shape [4], not []", Changed(adamW, "step/bias", TensorData.Zeros(4)));
        foreach (float steps in (float[])[-1, 0.5f, float.NaN])
            Refused(adamW, FormattableString.Invariant($"'step/bias' of the optimizer's state is {steps}; it must be a number of steps"), Changed(adamW, "step/bias", new TensorData([], [steps])));
        Refused(multiplied, "has no gradient multipliers 'multiplier/kernel', which this optimizer needs", plain.ExportState());
        Refused(plain, "has gradient multipliers, 'multiplier/kernel', which this optimizer does not use", multiplied.ExportState());
        var negative = multiplied.ExportState()["multiplier/kernel"];
        negative.Values[7] = -1;
        Refused(multiplied, "'multiplier/kernel' of the optimizer's state has the value -1 at index 7", Changed(multiplied, "multiplier/kernel", negative));

        static StateDict Changed(Optimizer optimizer, string name, TensorData tensor)
        {
            var state = optimizer.ExportState();
            state[name] = tensor;
            return state;
        }
        static void Refused(Optimizer optimizer, string expected, StateDict state)
        {
            var before = optimizer.ExportState();
            Assert.Contains(expected, Assert.Throws<ArgumentException>(() => optimizer.ImportState(state)).Message, StringComparison.Ordinal);
            Assert.All(optimizer.ExportState(), entry => Assert.Equal(before[entry.Key].Values, entry.Value.Values));
        }
    }

    [BackendFact]
    public void Bad_settings_of_optimizers_are_refused()
    {
        using var model = new LinearModel(Backend);
        foreach (var options in (OptimizerOptions[])[new SgdOptions(0, Nesterov: true), new SgdOptions(-1), new SgdOptions(1), new AdamWOptions(1), new AdamWOptions(Beta2: -0.1f), new AdamWOptions(Epsilon: 0)])
            Assert.Throws<ArgumentException>(() => Backend.CreateOptimizer([], options));
        foreach (float norm in (float[])[0, -1, float.NaN, float.PositiveInfinity])
            Assert.Contains("maximum norm", Assert.Throws<ArgumentException>(() => model.Optimizer(clipNorm: norm)).Message, StringComparison.Ordinal);
        Refused("'mean'", new ParameterGroup([("mean", model.Mean)], 0));
        Refused("'b'", new ParameterGroup([("a", model.Kernel), ("b", model.Kernel)], 0));

        (string, Tensor)[] parameters = [("weight", model.Weight), ("bias", model.Bias)];
        var weight = Multipliers(1, model.Weight);
        Refused("2 parameters has 1 gradient multipliers", new ParameterGroup(parameters, 0) { GradientMultipliers = [weight] });
        Refused("'bias' have the shape [4, 3], but the parameter has [4]", new ParameterGroup(parameters, 0) { GradientMultipliers = [weight, weight] });
        foreach (float value in (float[])[-1, float.NaN, float.PositiveInfinity])
            Refused(FormattableString.Invariant($"'bias' has the value {value} at index 2"), new ParameterGroup(parameters, 0) { GradientMultipliers = [weight, new TensorData([4], [1, 2, value, 4])] });
        Refused("GradientClipNorm", new ParameterGroup(parameters, 0) { GradientMultipliers = [weight, Multipliers(2, model.Bias)] }, clipNorm: 1);

        void Refused(string expected, ParameterGroup group, float? clipNorm = null) =>
            Assert.Contains(expected, Assert.Throws<ArgumentException>(() => Backend.CreateOptimizer([group], new SgdOptions(), clipNorm)).Message, StringComparison.Ordinal);
    }

    [BackendTheory]
    [MemberData(nameof(Optimizers))]
    public void Two_optimizers_can_share_parameters(string name)
    {
        using var model = new LinearModel(Backend);
        using var one = model.Optimizer(_optimizers[name]);
        using var two = Backend.CreateOptimizer([new ParameterGroup([("bias", model.Bias), ("kernel", model.Kernel)], 0)], new SgdOptions(0));
        foreach (var optimizer in (Optimizer[])[one, two, one])
        {
            model.Step(1);
            var before = Read(model.Bias);
            optimizer.Step(0.1f);
            Assert.NotEqual(before, Read(model.Bias));
        }
    }

    [BackendFact]
    public void A_step_with_clipping_and_no_gradients_changes_nothing()
    {
        using var model = new LinearModel(Backend);
        using var optimizer = model.Optimizer(new AdamWOptions(), clipNorm: 1);
        float[] before = Read(model.Kernel);
        optimizer.Step(0.1f);
        Assert.Equal(before, Read(model.Kernel));
    }

    /// <summary>Values from 0.5 to 1.5 in the shape of a parameter.</summary>
    private static TensorData Multipliers(int seed, Tensor parameter)
    {
        var random = new Random(seed);
        var multipliers = TensorData.Zeros([.. parameter.Shape]);
        foreach (ref float value in multipliers.Values.AsSpan())
            value = 0.5f + random.NextSingle();
        return multipliers;
    }

    private double[] Doubles(Tensor tensor) => Array.ConvertAll(Read(tensor), value => (double)value);

    private static float[] Floats(double[] values) => Array.ConvertAll(values, value => (float)value);
}
