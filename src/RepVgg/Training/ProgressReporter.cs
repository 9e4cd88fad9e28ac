using RepVgg.Backends;

namespace RepVgg.Training;

/// <summary>Measures the speed, estimates the remaining time, and calls the progress callback.</summary>
/// <param name="callback">Receives the progress; may be null.</param>
/// <param name="clock">Measures the times.</param>
/// <param name="epochs">Number of epochs.</param>
/// <param name="stepCosts">Expected times of a training step of the first epochs, relative to those of the other epochs; empty if all are the same.</param>
/// <param name="stepsPerEpoch">Number of training steps of an epoch.</param>
/// <param name="trainingImages">Number of training images of an epoch.</param>
/// <param name="validationImages">Number of validation images; 0 for none.</param>
internal sealed class ProgressReporter(
    Action<TrainingProgress>? callback, TimeProvider clock, int epochs, IReadOnlyList<double> stepCosts, int stepsPerEpoch, int trainingImages, int validationImages)
{
    /// <summary>Estimated time of a forward pass relative to a training step. It is used until a validation pass has been measured.</summary>
    private const double ForwardShare = 1.0 / 3;

    private readonly long _start = clock.GetTimestamp();
    private TimeSpan _trainingTime;
    private double _trainingCost, _cost, _laterCost;
    private TimeSpan? _validationTime;
    private long _passStart;
    private int _epoch, _steps;
    private bool _isValidation;
    private TrainingProgress? _last;

    public void BeginPass(int epoch, int steps, bool isValidation)
    {
        (_epoch, _steps, _isValidation) = (epoch, steps, isValidation);
        _cost = epoch <= stepCosts.Count ? stepCosts[epoch - 1] : 1;
        _laterCost = stepCosts.Skip(epoch).Sum() + epochs - Math.Max(epoch, stepCosts.Count);
        _passStart = clock.GetTimestamp();
    }

    public void Step(int step, PassMetrics metrics, float learningRate)
    {
        var pass = clock.GetElapsedTime(_passStart);
        metrics.Time = pass;
        _last = new TrainingProgress
        {
            Epoch = _epoch,
            Epochs = epochs,
            Step = step,
            Steps = _steps,
            IsValidation = _isValidation,
            Loss = metrics.Loss,
            Accuracy = metrics.Accuracy,
            MeanIoU = metrics.MeanIoU,
            LearningRate = learningRate,
            ImagesPerSecond = metrics.Images / Math.Max(pass.TotalSeconds, 1e-9),
            Elapsed = clock.GetElapsedTime(_start),
            Remaining = Remaining(step, pass),
        };
        if (step == _steps)
        {
            if (_isValidation)
                _validationTime = pass;
            else
                (_trainingTime, _trainingCost) = (_trainingTime + pass, _trainingCost + step * _cost);
        }
        callback?.Invoke(_last);
    }

    public void EpochDone(EpochResult result) => callback?.Invoke(_last! with { EpochResult = result, Elapsed = clock.GetElapsedTime(_start) });

    private TimeSpan Remaining(int step, TimeSpan pass)
    {
        var (time, done) = _isValidation ? (_trainingTime, _trainingCost) : (_trainingTime + pass, _trainingCost + step * _cost);
        var perCost = done == 0 ? TimeSpan.Zero : time / done;
        var validation = _validationTime ?? perCost * stepsPerEpoch * ((double)validationImages / trainingImages) * ForwardShare;
        var later = perCost * stepsPerEpoch * _laterCost + validation * (epochs - _epoch);
        var now = _isValidation
            ? (pass / step) * (_steps - step)
            : perCost * _cost * (_steps - step) + validation;
        return later + now;
    }
}
