using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The per-channel values of one batch normalisation in one step, for the forward and the backward pass.</summary>
/// <remarks>Forward: y = (x - Mean) * Scale + Shift. Backward: dx = GradientFactor * dy + InputFactor * (x - Mean) + GradientOffset.</remarks>
internal sealed unsafe class NormalizationStatistics
{
    private readonly BatchNormState _state;
    private readonly CpuTensor _weight;
    private readonly CpuTensor _bias;
    private readonly CpuTensor _runningMean;
    private readonly CpuTensor _runningVariance;
    private readonly CpuTensor _values;
    private readonly int _channels;
    private readonly double[] _inverseDeviation;

    public NormalizationStatistics(CpuContext context, BatchNormState state, int channels)
    {
        _state = state;
        UsesBatch = context.IsTraining && !state.Frozen;
        _weight = (CpuTensor)state.Weight;
        _bias = (CpuTensor)state.Bias;
        _runningMean = (CpuTensor)state.RunningMean;
        _runningVariance = (CpuTensor)state.RunningVariance;
        _channels = channels;
        _inverseDeviation = new double[channels];
        _values = context.CreateStepTensor([6, channels], requiresGradient: false);
    }

    /// <summary>True if the statistics of the batch are used; false if the running statistics are used.</summary>
    public bool UsesBatch { get; }

    public float* Mean => _values.Data;

    public float* Scale => _values.Data + _channels;

    public float* Shift => _values.Data + 2 * _channels;

    public float* GradientFactor => _values.Data + 3 * _channels;

    public float* InputFactor => _values.Data + 4 * _channels;

    public float* GradientOffset => _values.Data + 5 * _channels;

    /// <summary>
    /// Computes the batch statistics from the means and sums of squared deviations of the chunks (pairwise update of Chan,
    /// Golub and LeVeque, 1979) and updates the running statistics.
    /// </summary>
    /// <param name="chunks">Division of the rows into chunks.</param>
    /// <param name="moments">For each chunk: means per channel, then sums of squared deviations per channel.</param>
    public void UseBatch(BatchChunks chunks, ChunkedBuffer moments)
    {
        long rows = chunks.Start(chunks.Count);
        ForChannels(c =>
        {
            double mean = 0, squares = 0;
            long count = 0;
            for (int chunk = 0; chunk < chunks.Count; chunk++)
            {
                int added = chunks.Start(chunk + 1) - chunks.Start(chunk);
                double difference = moments[chunk][c] - mean;
                mean += difference * added / (count + added);
                squares += moments[chunk][_channels + c] + difference * difference * count * added / (count + added);
                count += added;
            }
            Set(c, mean, squares / rows);
            _runningMean.Data[c] = (float)((1.0 - _state.Momentum) * _runningMean.Data[c] + _state.Momentum * mean);
            _runningVariance.Data[c] = (float)((1.0 - _state.Momentum) * _runningVariance.Data[c] + _state.Momentum * squares / (rows - 1));
        });
    }

    /// <summary>Uses the running statistics, as in evaluation.</summary>
    public void UseRunning()
    {
        for (int c = 0; c < _channels; c++)
            Set(c, _runningMean.Data[c], _runningVariance.Data[c]);
    }

    /// <summary>Computes the gradients of weight and bias, and the factors of the input gradient.</summary>
    /// <param name="rows">Number of values per channel.</param>
    /// <param name="gradientSum">Per channel: sum of dy.</param>
    /// <param name="productSum">Per channel: sum of dy * (x - mean).</param>
    public void Backward(long rows, Func<int, double> gradientSum, Func<int, double> productSum)
    {
        bool addToWeight = false, addToBias = false;
        float* weightGradient = _weight.RequiresGradient ? _weight.GradientForWriting(out addToWeight) : null;
        float* biasGradient = _bias.RequiresGradient ? _bias.GradientForWriting(out addToBias) : null;
        ForChannels(c =>
        {
            double sum = gradientSum(c), product = productSum(c), inverse = _inverseDeviation[c];
            if (weightGradient is not null)
                weightGradient[c] = (float)(product * inverse + (addToWeight ? weightGradient[c] : 0));
            if (biasGradient is not null)
                biasGradient[c] = (float)(sum + (addToBias ? biasGradient[c] : 0));
            double factor = _weight.Data[c] * inverse;
            GradientFactor[c] = (float)factor;
            InputFactor[c] = UsesBatch ? (float)(-factor * inverse * inverse * product / rows) : 0;
            GradientOffset[c] = UsesBatch ? (float)(-factor * sum / rows) : 0;
        });
    }

    /// <summary>Runs a function for every channel, in parallel for blocks of 64 channels, because each channel adds the sums of all chunks.</summary>
    private void ForChannels(Action<int> body)
    {
        const int ChannelsPerBlock = 64;
        _values.Context.Run((_channels + ChannelsPerBlock - 1) / ChannelsPerBlock, (block, _) =>
        {
            for (int c = block * ChannelsPerBlock; c < Math.Min((block + 1) * ChannelsPerBlock, _channels); c++)
                body(c);
        });
    }

    private void Set(int channel, double mean, double variance)
    {
        double inverse = 1 / Math.Sqrt(variance + _state.Epsilon);
        _inverseDeviation[channel] = inverse;
        Mean[channel] = (float)mean;
        Scale[channel] = (float)(_weight.Data[channel] * inverse);
        Shift[channel] = _bias.Data[channel];
    }
}
